"""Fixtures of the tests of stage 1."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def loaded_once() -> Iterator[None]:
    """Load each backbone's weights once a file; in the long profile always anew."""
    from tests.support.extractions import load_once

    with load_once():
        yield
