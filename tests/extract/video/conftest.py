"""Fixtures of the tests of decoders."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processes.waiting import PATIENCE
from vadprobe.extract.video.decoder import Decoder


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """One for all tests of a file, as one serves a whole extraction: after whatever happened, the next must work."""
    with Decoder(PATIENCE) as opened:
        yield opened


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> Path:
    """100 numbered frames with B-frames and a key frame every 12."""
    return write_video(tmp_path_factory.mktemp("decoding") / "numbered.mp4", 100, height=64, width=96)
