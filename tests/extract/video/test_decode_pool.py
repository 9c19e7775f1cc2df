"""Several decoders at once: order, memory, one decoder per video, errors, and an end in the middle."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support.processes.waiting import PATIENCE
from vadprobe.extract.video import decode_pool
from vadprobe.extract.video.decode_pool import DecodedClip, DecodePool, Run
from vadprobe.store.errors import VideoError

Pool = DecodePool[int, np.ndarray]


class FakeDecoder:
    """Frames that say which ones they are; a video may be broken or fail.

    A clip is read once `ready` of its video and number holds, which is asked whenever `changed` is notified.
    """

    made: "list[FakeDecoder]"
    read: list[tuple[str, int]]
    reading: set[str]
    opened: dict[str, set[int]]
    ready: Callable[[str, int], bool]
    changed: threading.Condition

    def __init__(self, deadline: float, reader: str) -> None:
        self.interrupted = self.closed = False
        self.made.append(self)

    def read_clip(self, path: Path, indices: Sequence[int]) -> np.ndarray:
        with self.changed:
            assert path.name not in self.reading, "two decoders read one video"
            self.reading.add(path.name)
            self.read.append((path.name, indices[0]))
            self.opened[path.name].add(id(self))
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.interrupted or type(self).ready(path.name, indices[0]), PATIENCE)
            self.reading.remove(path.name)
        damaged = VideoError(f"frame {indices[0]} is damaged")
        errors = {"broken": damaged, "huge": MemoryError(), "wrong": KeyError("wrong")}
        if path.name in errors:
            raise errors[path.name]
        return np.full((1, 2, 2, 3), indices[0], dtype=np.uint8)

    def interrupt(self) -> None:
        with self.changed:
            self.interrupted = True
            self.changed.notify_all()

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeDecoder]:
    FakeDecoder.made, FakeDecoder.read, FakeDecoder.reading = [], [], set()
    FakeDecoder.changed, FakeDecoder.opened = threading.Condition(), defaultdict(set)
    FakeDecoder.ready = staticmethod(lambda name, number: True)
    monkeypatch.setattr(decode_pool, "Decoder", FakeDecoder)
    return FakeDecoder


def run(name: str, count: int, first: int = 0, owner: int = 0) -> Run[int]:
    return Run(owner, Path(name), [(first + number, [first + number]) for number in range(count)])


def pool_of(count: int, prepare: Callable[[np.ndarray], np.ndarray] = np.asarray, **limits: int) -> Pool:
    return DecodePool(count, 1.0, prepare, **limits)


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition on the fake decoders holds."""
    with FakeDecoder.changed:
        assert FakeDecoder.changed.wait_for(condition, PATIENCE)


def let(ready: Callable[[str, int], bool]) -> None:
    """Choose which clips may be read from now on."""
    with FakeDecoder.changed:
        FakeDecoder.ready = staticmethod(ready)
        FakeDecoder.changed.notify_all()


def until_idle(pool: Pool) -> None:
    """Wait until no decoder has anything to do."""
    with pool._changed:
        assert pool._changed.wait_for(lambda: not pool._busy, PATIENCE)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "decode-ahead"]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("least", [1, 3, 50])
def test_clips_come_in_order_however_many_decoders_there_are(count: int, least: int) -> None:
    let(lambda name, number: not time.sleep(0.003 if name in "be" else 0))  # some videos come later than the next
    names = ["a", "b", "b", "c", "broken", "d", "huge", "e", "a"]
    reasons = {"broken": "frame {} is damaged", "huge": "there is not enough memory for frames of this size"}
    runs = [run(name, 3, 10 * number, number) for number, name in enumerate(names)]
    with pool_of(count, least=least, budget=40) as pool:
        found = list(pool.clips(iter(runs)))
    assert [(clip.owner, clip.row) for clip in found] == [
        (number, 10 * number + clip) for number in range(len(names)) for clip in range(3)
    ]
    for clip in found:
        if names[clip.owner] in reasons:
            assert (clip.frames, clip.reason) == (None, reasons[names[clip.owner]].format(clip.row))
        else:
            assert clip.frames.max() == clip.frames.min() == clip.row
    for name in set(names):  # forward only, as the clips of a video come
        read = [number for other, number in FakeDecoder.read if other == name]
        assert read == sorted(read)
    assert threads() == []
    assert all(decoder.closed for decoder in FakeDecoder.made)


def test_two_decoders_work_at_the_same_time() -> None:
    """No clip is read before both videos are being read: one decoder, or one after the other, would wait for ever."""
    met = threading.Event()

    def both_are_read(name: str, number: int) -> bool:
        if FakeDecoder.reading == {"a", "b"}:
            met.set()
        return met.is_set()

    let(both_are_read)
    with pool_of(2) as pool:
        assert len(list(pool.clips(iter([run("a", 3), run("b", 3)])))) == 6


def test_a_video_that_comes_late_is_waited_for() -> None:
    let(lambda name, number: name == "b" or ("b", 2) in FakeDecoder.read)
    with pool_of(2) as pool:
        found = [clip.row for clip in pool.clips(iter([run("a", 3, 10), run("b", 3)]))]
    assert found == [10, 11, 12, 0, 1, 2]


@pytest.mark.parametrize(("least", "budget", "most"), [(4, 0, 4), (4, 120, 10), (4, 1 << 30, 50)])
def test_not_more_is_decoded_ahead_than_may_wait(
    least: int, budget: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip has 12 bytes. A decoder that was refused a clip's number waits until another clip is handed out."""
    refused: set[int] = set()
    may_go_on = DecodePool._may_go_on

    def noted(self: Pool, number: int) -> bool:
        allowed = may_go_on(self, number)
        if not allowed:
            with FakeDecoder.changed:
                refused.add(number)
                FakeDecoder.changed.notify_all()
        return allowed

    monkeypatch.setattr(decode_pool, "MOST_CLIPS", 50)
    monkeypatch.setattr(DecodePool, "_may_go_on", noted)
    with pool_of(1, least=least, budget=budget) as pool:
        clips = pool.clips(iter([run("a", 100)]))
        for handed_out in (1, 2):
            next(clips)
            until(lambda: handed_out + most in refused)  # noqa: B023 -- waited for at once
            assert len(FakeDecoder.read) == handed_out + most


def test_work_is_asked_for_only_when_a_decoder_has_nothing_to_do() -> None:
    let(lambda name, number: number == 0)
    asked: list[str] = []

    def runs() -> Iterator[Run[int]]:
        for name in "abc":
            asked.append(name)
            yield run(name, 5)

    with pool_of(1) as pool:
        clips = pool.clips(runs())
        next(clips)
        assert asked == ["a"]
        let(lambda name, number: name == "a")
        until_idle(pool)
        next(clips)
        assert asked == ["a", "b"]
        let(lambda name, number: True)
        assert len(list(clips)) == 13


@pytest.mark.parametrize("idle", [False, True])
def test_a_video_goes_on_in_the_decoder_that_has_it_open(idle: bool) -> None:
    """Runs of one video arrive while its decoder is busy, or after it has become idle beside the others."""
    asked = 0

    def runs() -> Iterator[Run[int]]:
        nonlocal asked
        for number in range(6):
            if idle:
                until_idle(pool)
            with FakeDecoder.changed:
                asked = number
                FakeDecoder.changed.notify_all()
            yield run("long", 4, 4 * number)
        let(lambda name, number: True)
        yield run("other", 2)

    if not idle:
        let(lambda name, number: number // 4 < asked)
    with pool_of(3) as pool:
        assert len(list(pool.clips(runs()))) == 26
    assert len(FakeDecoder.opened["long"]) == 1


def test_runs_without_clips_are_passed_over() -> None:
    with pool_of(2) as pool:
        assert [clip.row for clip in pool.clips(iter([run("a", 0), run("b", 2), run("c", 0)]))] == [0, 1]
    with pool_of(2) as pool:
        assert list(pool.clips(iter([]))) == []


def test_what_is_not_wanted_any_more_is_not_decoded() -> None:
    wanted = True
    with pool_of(1, least=2, budget=0) as pool:
        clips = pool.clips(iter([Run(0, Path("a"), [(row, [row]) for row in range(20)], lambda: wanted)]))
        next(clips)
        wanted = False
        rest = list(clips)
    assert len(rest) == 19
    assert len(FakeDecoder.read) <= 1 + 2 + 1
    assert rest[-1] == DecodedClip(0, 19, None)


def test_frames_are_prepared_in_the_decoders_thread() -> None:
    seen = []

    def prepare(frames: np.ndarray) -> np.ndarray:
        seen.append(threading.current_thread().name)
        return frames + 1

    with pool_of(1, prepare) as pool:
        assert [int(clip.frames.max()) for clip in pool.clips(iter([run("a", 3)]))] == [1, 2, 3]
    assert set(seen) == {"decode-ahead"}


def test_an_error_that_is_no_fault_of_the_video_reaches_the_reader() -> None:
    with pool_of(2) as pool:
        clips = pool.clips(iter([run("a", 2), run("wrong", 2)]))
        assert [next(clips).row for _ in range(2)] == [0, 1]
        with pytest.raises(KeyError, match="wrong"):
            next(clips)
    assert threads() == []


def test_it_ends_in_the_middle_of_a_clip() -> None:
    let(lambda name, number: name != "slow")
    pool = pool_of(2)
    clips = pool.clips(iter([run("a", 2), run("slow", 2)]))
    next(clips)
    until(lambda: "slow" in FakeDecoder.reading)
    pool.close()
    assert threads() == []
    assert all(decoder.closed for decoder in FakeDecoder.made)
