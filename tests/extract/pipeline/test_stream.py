"""Partitions in a stream: what overlaps, and what an error or an interrupt leaves."""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.extractions import make_extractor, run_all, store_of
from tests.support.processes.waiting import PATIENCE
from vadprobe.extract.model.backbone import Description
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.open_partition import PartitionKey
from vadprobe.extract.video.decode_pool import DecodePool
from vadprobe.store.claims.claim import Claim
from vadprobe.store.errors import StoreError
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.writing.writer import StoreWriter

pytestmark = pytest.mark.usefixtures("loaded_once")
# Passes end after two of six blocks: it is the stream that is tested, and half the time is saved.
SAMPLING = SamplingConfig(
    unit="segment", clip_length=2, frames_per_clip=2, layers=(0, 2), heads=((1, 3),), answers=False
)

BATCH = 64  # a quarter of a partition; fewer clips a pass take more time

PROMPTS = (Prompt("short", "Odd?"), Prompt("other", "Calm?"))  # every token is one of 1040 passes


@pytest.fixture(scope="module")
def description(describe_tiny: Callable[..., Description]) -> Description:
    return describe_tiny("qwen2_5_vl", frame_size=(28, 28))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name in ("first", "second"):
        write_video(folder / f"{name}.mp4", 520, height=32, width=32)
    return folder


@pytest.fixture
def long(tmp_path: Path, videos: Path, description: Description) -> Extractor:
    """Three partitions of two videos: 520 clips, the border between the videos inside a partition."""
    return make_extractor(videos, tmp_path / "root", description, PROMPTS, (SAMPLING,), batch_clips=BATCH)


def claimed(extractor: Extractor, taken: list[PartitionKey] | None = None) -> Iterator[tuple[PartitionKey, Claim]]:
    for key in extractor.pending():
        if taken is not None:
            taken.append(key)
        yield key, extractor.claims(key.position).hold(key.partition)


def held(extractor: Extractor) -> list[str]:
    """Claims that exist at the moment."""
    return sorted(path.name for path in store_of(extractor).path.parent.glob(".claims/*.lock"))


def test_a_stream_writes_what_partitions_one_by_one_write(
    long: Extractor, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[PartitionKey] = []
    seen = []
    write, second = StoreWriter.write_partition, threading.Event()

    def when_second_is_taken(self: StoreWriter, partition: int, *rest: Any) -> None:
        assert second.wait(PATIENCE)
        write(self, partition, *rest)

    def noting() -> Iterator[tuple[PartitionKey, Claim]]:
        for number, unit in enumerate(claimed(long, taken), 1):
            if number == 2:
                second.set()
            yield unit

    monkeypatch.setattr(StoreWriter, "write_partition", when_second_is_taken)
    for outcome in long.stream(noting(), lambda computed: None):
        assert (outcome.failures, outcome.lost) == ({}, None)
        assert long.plan.samplings[0].writers[1].is_written(outcome.key.partition)
        assert f"{outcome.key.partition:06d}.lock" not in held(long)
        seen.append((outcome.key.partition, len(taken)))
    assert [partition for partition, _ in seen] == [0, 1, 2]
    assert seen[0][1] > 1  # the next one was begun before the first was written
    assert long.commit() == [{}]
    assert held(long) == []
    assert long.timings.clips == 520
    assert long.timings.video_seconds == pytest.approx(1040 / 25)

    other = make_extractor(
        videos, tmp_path / "other", long.description, PROMPTS, (SAMPLING,), batch_clips=BATCH, decoders=3
    )
    run_all(other)
    for prompt in range(2):
        mine, theirs = store_of(long, prompt), store_of(other, prompt)
        rows = np.arange(520)
        assert mine.written.all()
        np.testing.assert_array_equal(mine.hidden_states(rows, [0, 2]), theirs.hidden_states(rows, [0, 2]))
        np.testing.assert_array_equal(mine.head_outputs(rows, [(1, 3)]), theirs.head_outputs(rows, [(1, 3)]))


def test_the_model_goes_on_while_a_partition_is_written(long: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first write ends only after clips of the second partition are computed."""
    write, go_on, waited = StoreWriter.write_partition, threading.Event(), []

    def slow(self: StoreWriter, partition: int, *rest: Any) -> None:
        if partition == 0:
            waited.append(go_on.wait(PATIENCE))
        write(self, partition, *rest)

    count = 0

    def done(computed: bool) -> None:
        nonlocal count
        count += 1
        if count > 256 + 32:
            go_on.set()

    monkeypatch.setattr(StoreWriter, "write_partition", slow)
    list(long.stream(claimed(long), done))
    assert waited == [True, True]
    assert long.commit() == [{}]


def test_an_error_while_writing_stops_the_work_and_gives_everything_back(
    long: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = StoreWriter.write_partition

    def fail(self: StoreWriter, partition: int, *rest: Any) -> None:
        if partition == 1:
            raise StoreError("the disk is full")
        write(self, partition, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "write_partition", fail)
        with pytest.raises(StoreError, match="the disk is full"):
            list(long.stream(claimed(long), lambda computed: None))
    assert held(long) == []
    assert (0, 0) not in long.pending()
    assert (0, 1) in long.pending()
    run_all(long)


def test_an_interrupt_lets_a_partition_that_is_being_written_be_finished(
    long: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt comes while the first partition is written, which ends only when the decoders have stopped."""
    write, begun, stopped = StoreWriter.write_partition, threading.Event(), threading.Event()
    close, computed_clips = DecodePool.close, itertools.count(1)

    def slow(self: StoreWriter, partition: int, *rest: Any) -> None:
        begun.set()
        assert stopped.wait(PATIENCE)
        write(self, partition, *rest)

    def interrupt(computed: bool) -> None:
        if next(computed_clips) > 256:  # the first clips of the second partition
            assert begun.wait(PATIENCE)
            raise KeyboardInterrupt

    def closed(self: DecodePool) -> None:
        close(self)
        stopped.set()

    monkeypatch.setattr(DecodePool, "close", closed)
    monkeypatch.setattr(StoreWriter, "write_partition", slow)
    with pytest.raises(KeyboardInterrupt):
        list(long.stream(claimed(long), interrupt))
    assert long.pending() == [(0, 1), (0, 2)]
    assert held(long) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("decode-ahead", "write"))]
