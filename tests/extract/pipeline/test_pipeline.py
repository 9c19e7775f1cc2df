"""Partitions in a stream: what overlaps, what an error or an interrupt leaves, and who takes which partition."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.extractions import make_extractor, run_all, store_of, warm
from vadprobe.extract.model.backbone import Description
from vadprobe.extract.model.capture import Captured
from vadprobe.extract.pipeline import host_copies
from vadprobe.extract.pipeline.claim_loop import next_unit
from vadprobe.extract.pipeline.extraction import Extractor, PartitionKey
from vadprobe.extract.pipeline.host_copies import NAMES, Outgoing
from vadprobe.extract.pipeline.timings import Timings, gpu_utilisation
from vadprobe.extract.video.decode_pool import DecodePool
from vadprobe.store.claims.claim import Claim
from vadprobe.store.errors import StoreError
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.writing.partition_data import PartitionData
from vadprobe.store.writing.writer import StoreWriter

GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")]
# Passes end after two of six blocks: it is the stream that is tested, and half the time is saved.
SAMPLING = SamplingConfig(
    unit="segment", clip_length=2, frames_per_clip=2, layers=(0, 2), heads=((1, 3),), answers=False
)
BATCH = 64  # a quarter of a partition; fewer clips a pass take more time
PROMPTS = (Prompt("short", "Odd?"), Prompt("other", "Calm?"))  # every token is one of 1040 passes


@pytest.fixture(scope="module", autouse=True)
def _warm() -> Iterator[None]:
    with warm():
        yield


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
    for unit in extractor.pending():
        if taken is not None:
            taken.append(unit)
        yield unit, extractor.claims(unit[0]).hold(unit[1])


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
        assert second.wait(120)
        write(self, partition, *rest)

    def noting() -> Iterator[tuple[PartitionKey, Claim]]:
        for number, unit in enumerate(claimed(long, taken), 1):
            if number == 2:
                second.set()
            yield unit

    monkeypatch.setattr(StoreWriter, "write_partition", when_second_is_taken)
    for outcome in long.stream(noting()):
        assert (outcome.failures, outcome.lost) == ({}, None)
        assert long.plan.samplings[0].writers[1].is_written(outcome.unit[1])
        assert f"{outcome.unit[1]:06d}.lock" not in held(long)
        seen.append((outcome.unit[1], len(taken)))
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
            waited.append(go_on.wait(300))
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
            list(long.stream(claimed(long)))
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
        assert stopped.wait(120)
        write(self, partition, *rest)

    def interrupt(computed: bool) -> None:
        if next(computed_clips) > 256:  # the first clips of the second partition
            assert begun.wait(120)
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


@pytest.mark.parametrize(
    ("left", "last", "others", "wanted"),
    [
        ([], None, False, None),
        ([(0, 0), (0, 1)], None, False, (0, 0)),
        ([(0, 0), (0, 3), (0, 4)], (0, 2), False, (0, 3)),  # ours goes on
        ([(0, 0), (0, 3), (0, 4)], (0, 2), True, (0, 3)),
        ([(0, number) for number in range(1, 9)], None, True, (0, 5)),  # another worker has the first
        ([(0, 1), (0, 4), (0, 5), (0, 6), (0, 9)], None, True, (0, 5)),
        ([(0, 1), (0, 4)], (0, 1), False, (0, 1)),
        ([(0, 0), (1, 1), (1, 2)], (0, 0), True, (1, 2)),
        ([(0, 9), (1, 0)], (0, 8), True, (0, 9)),
        ([(1, 0)], (0, 0), True, (1, 0)),
    ],
)
def test_each_worker_stays_with_its_videos(
    left: list[PartitionKey], last: PartitionKey | None, others: bool, wanted: PartitionKey
) -> None:
    assert next_unit(left, last, others) == wanted


def captured(value: float, dtype: torch.dtype = torch.bfloat16, layers: int = 2, device: str = "cpu") -> Captured:
    make = {"dtype": dtype, "device": device}
    return Captured(
        torch.full((2, layers + 1, 4), value, **make),  # type: ignore[arg-type]
        torch.full((2, layers, 2, 2), value + 1, **make),  # type: ignore[arg-type]
        None if layers < 2 else torch.full((2, 2), value + 2, **make),  # type: ignore[arg-type]
    )


def empty(count: int = 5) -> PartitionData:
    shapes = (count, 3, 4), (count, 2, 2, 2), (count, 2)
    return PartitionData(*(np.full(shape, np.nan, np.float32) for shape in shapes))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_features_arrive_at_their_rows(device: str) -> None:
    data, sender = [empty(), empty()], Outgoing()
    sender.put([captured(1.5, device=device), captured(-2.0, device=device)], data, [3, 0])
    sender.put([captured(7.0, device=device), captured(8.0, device=device)], data, [1, 4])
    sender.finish()
    for one, values in zip(data, ((1.5, 7.0), (-2.0, 8.0)), strict=True):
        for name, offset in zip(NAMES, range(3), strict=True):
            array = getattr(one, name)
            assert (array[[0, 3]] == values[0] + offset).all()
            assert (array[[1, 4]] == values[1] + offset).all()
            assert np.isnan(array[2]).all()


def test_of_a_pass_that_ended_early_the_other_layers_stay_unknown() -> None:
    data = empty()
    Outgoing().put([captured(1.0, layers=1)], [data], [0, 1])
    assert (data.hidden_states[:2, :2] == 1).all()
    assert np.isnan(data.hidden_states[:, 2]).all()
    assert np.isnan(data.head_outputs[:, 1]).all()
    assert np.isnan(data.answer_logits).all()


def test_batches_on_their_way_from_a_gpu_are_waited_for_one_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bookkeeping alone, with a copy that has arrived when it is waited for."""
    waited: list[str] = []

    class Event:
        def __init__(self, name: str) -> None:
            self.name = name

        def synchronize(self) -> None:
            waited.append(self.name)

    monkeypatch.setattr(host_copies, "_keep", lambda pairs, positions: waited.append(f"kept {positions}"))
    sender = Outgoing()
    for number in range(3):
        sender._waiting.append((Event(f"copy {number}"), [], [number]))  # type: ignore[arg-type]
        sender.finish(1)
    assert waited == ["copy 0", "kept [0]", "copy 1", "kept [1]"]
    sender.finish()
    assert waited[4:] == ["copy 2", "kept [2]"]


def test_timings_say_where_the_time_went(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    timings = Timings()
    assert timings.sentence() == timings.busy() == ""
    now[0] = 200.0
    timings.start(torch.device("cpu"))
    for part, seconds in (("model", 6.0), ("decoding", 3.0), ("writing", 1.0)):
        with timings.spend(part):
            now[0] += seconds
    timings.start(torch.device("cpu"))  # a second stream does not begin anew
    timings.count(25.0, 20)
    assert timings.busy() == "2.5x real time, model 60%"
    assert timings.sentence() == (
        "20 clips in 10 s: 2.0 clips/s, 2.5x real time. The model ran 60 % of the time and waited 30 % for decoding, "
        "10 % for writing."
    )
    assert gpu_utilisation(torch.device("cpu")) is None
