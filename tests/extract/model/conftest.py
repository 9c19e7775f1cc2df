"""Fixtures of the tests of models."""

from collections.abc import Iterator

import pytest
import torch
from torch._dynamo.utils import counters


@pytest.fixture
def nothing_compiled_before() -> Iterator[None]:
    """Forget compiled code, before and after."""
    limit = torch._dynamo.config.recompile_limit
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()
    torch._dynamo.config.recompile_limit = limit  # type: ignore[assignment]
