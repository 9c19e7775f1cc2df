"""Decoders killed and suspended in the middle of clips of an extraction: no row is wrong, and the run goes on."""

import contextlib
import itertools
import os
import random
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.extractions import make_extractor, run_all, store_of
from tests.support.processes.process_state import state_of
from tests.support.processes.stand_in import write_stand_in
from tests.support.processes.waiting import PATIENCE, wait_until
from tests.support.profiles import LONG
from vadprobe.extract.model.backbone import Description
from vadprobe.extract.video.decoder import CRASHED, NO_PROGRESS, Decoder
from vadprobe.store.errors import VideoError
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify

N_CLIPS, CLIP = 24, 12 if LONG else 6
PROMPTS = (SHIPPED["coarse"],)
SAMPLING = SamplingConfig(unit="segment", clip_length=CLIP, frames_per_clip=CLIP)
VIDEOS = ("first", "second", "third")
READERS = ("decord", "PyAV")
SIGNALS = (signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV)
STRIKES = {("first", 2): "decord", ("first", 5): "PyAV", ("second", 6): "decord", ("third", 0): "decord PyAV"}
"""The library that is struck in the middle of a clip, by clip; PyAV takes over from a decord that was struck."""
STRUCK_BEFORE = ("second", 3)
"""A clip before whose request the decoder is struck."""
FAILED = {("first", 5), ("second", 3), ("third", 0)}
"""The clips that nobody could read."""

PROGRAM = """\
import os, sys
from pathlib import Path
from vadprobe.extract.video import decode_worker
from vadprobe.extract.video.readers.decord_reader import DecordReader
from vadprobe.extract.video.readers.pyav_reader import PyavReader

strikes, reading, steps = {strikes!r}, "", 0


def step():
    global steps
    steps += 1
    if steps == 3 and reading in strikes:
        os.kill(os.getpid(), {sent})


def noted(read, name, with_steps):
    def read_noted(self, indices, heartbeat):
        global reading, steps
        reading, steps = f"{{Path(self.path).stem}} {{indices[0] // {clip}}} {{name}}", 0
        return read(self, indices, with_steps or heartbeat)
    return read_noted


def picture(self, wanted, original=PyavReader._stored_picture):
    step()
    return original(self, wanted)


DecordReader.read = noted(DecordReader.read, "decord", step)
PyavReader.read = noted(PyavReader.read, "PyAV", None)
PyavReader._stored_picture = picture
decode_worker.serve(int(sys.argv[-1]))
"""
WriteVideo = Callable[..., Path]
DescribeTiny = Callable[..., Description]
pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, write_video: WriteVideo) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name in VIDEOS:
        write_video(folder / f"{name}.mp4", CLIP * N_CLIPS // len(VIDEOS), height=120, width=160)
    return folder


@pytest.fixture(scope="module")
def description(describe_tiny: DescribeTiny) -> Description:
    return describe_tiny("qwen2_5_vl")


def extract(videos: Path, root: Path, description: Description, decoders: int, reader: str = "decord") -> FeatureStore:
    """Return the store of an extraction, one clip a pass so that a failing clip leaves the others' sums alone."""
    settings = {"batch_clips": 1, "decoders": decoders, "decode_deadline": PATIENCE, "reader": reader}
    extractor = make_extractor(videos, root, description, PROMPTS, (SAMPLING,), **settings)
    run_all(extractor)
    return store_of(extractor)


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, videos: Path, description: Description
) -> Mapping[str, FeatureStore]:
    """The store by each reader."""
    return {
        name: extract(videos, tmp_path_factory.mktemp(name), description, 1, reader=reader)
        for name, reader in (("decord", "decord"), ("PyAV", "pyav"))
    }


@dataclass
class Reads:
    """Remembers how clips were read; before each, `before` is called with its number and decoder.

    `ended` is a reader's name or a reason, by video and clip.
    """

    before: Callable[[int, tuple[str, int], Decoder], None] = lambda number, clip, decoder: None
    ended: dict[tuple[str, int], str] = field(default_factory=dict)
    count: int = 0


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Notes all reads; a deadline has passed when a decoder is suspended, and never before."""
    found, asking, lock, pair = Reads(), threading.local(), threading.Lock(), socket.socketpair
    read, ask_once = Decoder.read_clip, Decoder._ask_once

    class Watching(socket.socket):
        def recv_into(self, *arguments: Any) -> int:
            while not select.select([self], [], [], 0.005)[0]:
                process = asking.decoder._process
                if process is not None and state_of(process.pid) == "T":
                    raise TimeoutError
            return super().recv_into(*arguments)

    def watching_pair() -> tuple[socket.socket, socket.socket]:
        ours, theirs = pair()
        return Watching(fileno=ours.detach()), theirs

    def ask_watched(self: Decoder, request: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
        asking.decoder = self
        return ask_once(self, request)

    def read_noted(self: Decoder, path: Path, indices: Sequence[int]) -> np.ndarray:
        clip = path.stem, indices[0] // CLIP
        with lock:
            found.count += 1
            number = found.count
        found.before(number, clip, self)
        try:
            frames = read(self, path, indices)
        except VideoError as error:
            found.ended[clip] = str(error)
            raise
        found.ended[clip] = self.reader or ""
        return frames

    monkeypatch.setattr(socket, "socketpair", watching_pair)
    monkeypatch.setattr(Decoder, "_ask_once", ask_watched)
    monkeypatch.setattr(Decoder, "read_clip", read_noted)
    return found


def strike(decoder: Decoder, sent: signal.Signals) -> None:
    """Send a signal to a decoder that waits for a request, and wait until it is suspended or dead."""
    assert decoder._process is not None
    os.kill(decoder._process.pid, sent)
    process = decoder._process
    wait_until(lambda: state_of(process.pid) == "T" or process.poll() is not None)


def check(
    store: FeatureStore, reads: Reads, undisturbed: Mapping[str, FeatureStore], sent: signal.Signals
) -> set[tuple[str, int]]:
    """Check that each row has the bits of its reader or a reason; return the clips without a row."""
    assert len(reads.ended) == reads.count == N_CLIPS
    failed = {clip: reason for clip, reason in reads.ended.items() if reason not in READERS}
    begin = NO_PROGRESS if sent == signal.SIGSTOP else f"{CRASHED} with signal {sent.name}"
    assert all(reason.startswith(begin) for reason in failed.values()), failed
    rows = {(clip.video_id, clip.index): row for row, clip in enumerate(map(store.clips.clip, range(N_CLIPS)))}
    assert store.failures == {rows[clip]: reason for clip, reason in failed.items()}
    assert verify(store.path).problems == ()
    assert np.array_equal(store.written, [row not in store.failures for row in range(N_CLIPS)])
    for clip, row in rows.items():
        for features in ("blocks", "hidden_states"):
            mine = getattr(store, features)([row], [0, 1])
            if clip in failed:
                assert np.isnan(mine).all()
            else:
                theirs = getattr(undisturbed[reads.ended[clip]], features)([row], [0, 1])
                assert mine.tobytes() == theirs.tobytes(), clip
    return set(failed)


# A process that dies and one that stops; of what it died is told by its signal alone.
@pytest.mark.parametrize(
    ("sent", "decoders"),
    list(itertools.product(SIGNALS, [1, 2])) if LONG else [(signal.SIGSEGV, 1), (signal.SIGSTOP, 2)],
)
def test_rows_are_right_or_have_a_reason(
    tmp_path: Path,
    videos: Path,
    description: Description,
    undisturbed: Mapping[str, FeatureStore],
    reads: Reads,
    monkeypatch: pytest.MonkeyPatch,
    sent: signal.Signals,
    decoders: int,
) -> None:
    """Decoders are struck after the second frame of some clips, by decord, PyAV or both, and before a request."""
    strikes = {f"{name} {clip} {reader}" for (name, clip), readers in STRIKES.items() for reader in readers.split()}
    program = PROGRAM.format(strikes=strikes, sent=int(sent), clip=CLIP)
    monkeypatch.setattr(sys, "executable", write_stand_in(tmp_path, program))

    def before(number: int, clip: tuple[str, int], decoder: Decoder) -> None:
        if clip == STRUCK_BEFORE:
            strike(decoder, sent)

    reads.before = before
    store = extract(videos, tmp_path / "root", description, decoders)
    assert check(store, reads, undisturbed, sent) == FAILED
    for name, first in (("first", 2), ("second", 6), ("third", 1)):  # from which clip on PyAV reads the video
        by = {clip: reader for (video, clip), reader in reads.ended.items() if video == name and reader in READERS}
        assert by == {clip: "decord" if clip < first else "PyAV" for clip in by}


@pytest.fixture
def timers() -> Iterator[list[threading.Timer]]:
    started: list[threading.Timer] = []
    yield started
    for timer in started:
        timer.join()


@pytest.mark.slow
@pytest.mark.parametrize("decoders", [1, 2])
@pytest.mark.parametrize("sent", SIGNALS)
def test_rows_are_right_or_have_a_reason_whenever_a_signal_comes(
    tmp_path: Path,
    videos: Path,
    description: Description,
    undisturbed: Mapping[str, FeatureStore],
    reads: Reads,
    timers: list[threading.Timer],
    sent: signal.Signals,
    decoders: int,
) -> None:
    """Signals come some milliseconds after a request: a decoder may be at work or be done, which no row may show."""
    generator = random.Random(0)

    def send(process: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it was replaced meanwhile
            os.kill(process, sent)

    def before(number: int, clip: tuple[str, int], decoder: Decoder) -> None:
        if number in {3, 7, 11, 16, 21} and decoder._process is not None:
            timers.append(threading.Timer(generator.uniform(0.0, 0.01), send, [decoder._process.pid]))
            timers[-1].start()

    reads.before = before
    check(extract(videos, tmp_path / "root", description, decoders), reads, undisturbed, sent)
