"""A small job of stage 1."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.samples.jobs import write_job


@pytest.fixture
def job(tmp_path: Path, tiny_backbones: Mapping[str, Path], write_video: Callable[..., Path]) -> Callable[..., Path]:
    """Write a job over two small videos; the arguments replace parts of it."""
    (tmp_path / "videos").mkdir()
    for number in range(2):
        write_video(tmp_path / "videos" / f"clip{number}.mp4", n_frames=20)

    def write(backbone: str | None = None, **parts: Any) -> Path:
        return write_job(tmp_path, backbone or tiny_backbones["qwen2_5_vl"], **parts)

    return write


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    """One embedded Prefect for all tests of flows in this process."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
