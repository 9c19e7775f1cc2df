"""Shared memory: frames stay as they were for as long as somebody looks at them, and their memory is used again."""

import os

import numpy as np
import pytest

from vadprobe.extract.video.shared_frames import SharedFrames

pytestmark = pytest.mark.skipif(not SharedFrames.is_possible(), reason="this system has no memory files")


class Pair:
    """A reader and a writer of the same memory."""

    def __init__(self) -> None:
        self.reader = SharedFrames()
        self.writer = SharedFrames(self.reader.descriptor)

    def send(self, frames: np.ndarray, *, is_made_there: bool = True) -> np.ndarray:
        self.writer.use(*self.reader.room())
        written = frames
        if is_made_there:
            written = self.writer.allocate(frames.shape)
            written[:] = frames
        return self.reader.take(self.writer.put(written), written.nbytes).reshape(frames.shape)

    @property
    def size(self) -> int:
        return os.fstat(self.reader.descriptor).st_size


def clip(value: int, n_frames: int = 4) -> np.ndarray:
    return np.full((n_frames, 2, 3, 3), value, dtype=np.uint8)


@pytest.mark.parametrize("is_made_there", [False, True])
def test_frames_outlive_those_that_come_after_them(is_made_there: bool) -> None:
    pair = Pair()
    kept = [pair.send(clip(value, 1 + value % 5), is_made_there=is_made_there) for value in range(20)]
    assert all(np.array_equal(frames, clip(value, 1 + value % 5)) for value, frames in enumerate(kept))
    pair.reader.close()
    assert kept[3].max() == kept[3].min() == 3


def test_memory_is_used_again() -> None:
    pair = Pair()
    for value in range(20):
        assert pair.send(clip(value)).min() == value
    assert pair.size == clip(0).nbytes
    views = [pair.send(clip(value))[1:, :, ::-1] for value in (1, 2)]  # a view keeps the memory of its frames
    assert [view.max() for view in views] == [1, 2]
    del views[0]
    assert pair.send(clip(3)).max() == 3
    assert pair.size == 2 * clip(0).nbytes
    assert views[0].max() == 2


def test_larger_and_smaller_clips() -> None:
    pair = Pair()
    rng, kept = np.random.default_rng(0), {}
    for value in range(200):
        kept[value] = pair.send(clip(value, int(rng.integers(1, 9))))
        kept.pop(int(rng.integers(0, value + 1)), None)
        assert all(frames.min() == frames.max() == number for number, frames in kept.items())
