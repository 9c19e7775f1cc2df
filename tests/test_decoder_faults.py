"""Decoders killed and suspended in the middle of clips of an extraction: no row is wrong, and the run goes on."""

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from vadprobe.extract.backbone import Description
from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.decoding import CRASHED, NO_PROGRESS, Decoder
from vadprobe.extract.extraction import Extractor
from vadprobe.extract.planning import plan_extraction
from vadprobe.store.configuration import DatasetConfig, SamplingConfig
from vadprobe.store.dataset_sources import open_dataset
from vadprobe.store.errors import VideoError
from vadprobe.store.prompts import SHIPPED
from vadprobe.store.reader import FeatureStore
from vadprobe.store.verification import verify

N_CLIPS = 24
WriteVideo = Callable[..., Path]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, write_video: WriteVideo) -> Path:
    """Three videos whose clips take a while to decode."""
    folder = tmp_path_factory.mktemp("videos")
    for name in ("first", "second", "third"):
        write_video(folder / f"{name}.mp4", 24 * N_CLIPS // 3, height=240, width=320)
    return folder


def extract(videos: Path, root: Path, description: Description, decoders: int) -> FeatureStore:
    """The store of an extraction, one clip a pass so that a failing clip leaves the others' sums alone."""
    config = ExtractionConfig(device="cpu", threads=1, batch_clips=1, decoders=decoders, decode_deadline=1.0)
    dataset = open_dataset(DatasetConfig(name="set", videos=str(videos)), Path())
    sampling = SamplingConfig(unit="segment", clip_length=24, frames_per_clip=24)
    plan = plan_extraction(dataset, root, [sampling], [SHIPPED["coarse"]], description, config)
    extractor = Extractor(dataset, plan, description, config)
    for position, partition in extractor.pending():
        extractor.run(position, partition)
    extractor.commit()
    return FeatureStore.open(plan.samplings[0].writers[0].path)


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, videos: Path, describe_tiny: Callable[..., Description]
) -> FeatureStore:
    return extract(videos, tmp_path_factory.mktemp("undisturbed"), describe_tiny("internvl"), 1)


@pytest.fixture
def disturbing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[signal.Signals, set[int]], list[str]]]:
    """Sends a signal to the decoder a few milliseconds into the clips of those numbers; returns how each read ended."""
    timers: list[threading.Timer] = []

    def begin(sent: signal.Signals, numbers: set[int]) -> list[str]:
        read, started, ended, generator = Decoder.read_clip, [], [], random.Random(0)

        def strike(process: int) -> None:
            with contextlib.suppress(ProcessLookupError):  # it was replaced meanwhile
                os.kill(process, sent)

        def disturbed(self: Decoder, path: Path, indices: Sequence[int]) -> np.ndarray:
            started.append(path)
            if len(started) in numbers and self._process is not None:
                timers.append(threading.Timer(generator.uniform(0.0, 0.02), strike, [self._process.pid]))
                timers[-1].start()
            try:
                frames = read(self, path, indices)
            except VideoError as error:
                ended.append(str(error))
                raise
            ended.append(self.reader or "")
            return frames

        monkeypatch.setattr(Decoder, "read_clip", disturbed)
        return ended

    yield begin
    for timer in timers:
        timer.join()


@pytest.mark.slow
@pytest.mark.parametrize("decoders", [1, 2])
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_rows_are_right_or_have_a_reason(
    tmp_path: Path,
    videos: Path,
    describe_tiny: Callable[..., Description],
    undisturbed: FeatureStore,
    disturbing: Callable[[signal.Signals, set[int]], list[str]],
    sent: signal.Signals,
    decoders: int,
) -> None:
    ended = disturbing(sent, {3, 7, 11, 16, 21})
    store = extract(videos, tmp_path / "root", describe_tiny("internvl"), decoders)
    assert len(ended) == N_CLIPS
    failed = {reason for reason in ended if reason not in ("decord", "PyAV")}
    assert failed == set(store.failures.values())
    assert failed or "PyAV" in ended, "no signal met a decoder at work"
    begin = NO_PROGRESS if sent == signal.SIGSTOP else f"{CRASHED} with signal {sent.name}"
    assert all(reason.startswith(begin) for reason in failed)
    assert verify(store.path).problems == ()
    rows = np.arange(N_CLIPS)
    good = np.array([row not in store.failures for row in rows])
    assert np.array_equal(store.written, good)
    for mine, theirs in (
        (store.blocks(rows, [0, 1]), undisturbed.blocks(rows, [0, 1])),
        (store.hidden_states(rows, [0, 1]), undisturbed.hidden_states(rows, [0, 1])),
    ):
        assert mine[good].tobytes() == theirs[good].tobytes()
        assert np.isnan(mine[~good]).all()
