"""A detector on the tiny backbone, beside the job whose features it reads."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.samples.detectors import write_detector
from vadprobe.flows.jobs.extract_job import extract
from vadprobe.flows.jobs.job import load_job


@pytest.fixture
def detector(job: Callable[..., Path], tmp_path: Path) -> Path:
    """A detector's file; the job's two videos lie in the folder `videos` beside it."""
    path = job()
    extract(load_job(path))
    return write_detector(path, tmp_path / "detector.json")
