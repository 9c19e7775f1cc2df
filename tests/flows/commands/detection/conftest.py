"""A detector beside the job whose features it reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.samples.detectors import write_detector


@pytest.fixture
def fitted(job: Callable[..., Path], run: Any, tmp_path: Path) -> Path:
    """A detector of two heads of the first block, fitted on nothing, beside the job whose features it reads."""
    path = job()
    assert run("extract", path)[0] == 0
    return write_detector(path, tmp_path / "detector.json")
