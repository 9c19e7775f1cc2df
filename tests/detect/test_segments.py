"""Segments of a stream of frames: those that stage 1 cuts out of a file, and what becomes of missing frames."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from vadprobe.detect.segments import Segment, segments_of_source
from vadprobe.detect.sources.frames import SourceError, TimedFrame
from vadprobe.store.datasets.video import Video
from vadprobe.store.format.sampling import Sampling, segment

SAMPLING = Sampling("segment", 6, 4)


class Numbers:
    """A source whose frames show their numbers."""

    name = "numbers"
    notes = ()

    def __init__(self, indices: Sequence[int], fps: float | None = 10.0, broken: bool = False, live: bool = False):
        self.indices, self.fps, self.broken, self.live = indices, fps, broken, live

    def frames(self) -> Iterator[TimedFrame]:
        before = -1
        for index in self.indices:
            pixels = np.full((2, 3, 3), index % 256, dtype=np.uint8)
            yield TimedFrame(index, index / 10, pixels, 1e9 + index / 10 if self.live else None, index != before + 1)
            before = index
        if self.broken:
            raise SourceError("the camera is gone")

    def close(self) -> None:
        return None


def cut(source: Numbers) -> list[Segment]:
    return list(segments_of_source(source, SAMPLING))


@pytest.mark.parametrize("fps", [10.0, None])
@pytest.mark.parametrize("count", [1, 3, 6, 17, 18])
def test_segments_are_those_of_stage_one_the_short_last_one_included(count: int, fps: float | None) -> None:
    found = cut(Numbers(range(count), fps))
    wanted = segment(Video("video", "video.mp4", count, 10.0), SAMPLING)
    assert [(one.span.start_frame, one.span.stop_frame) for one in found] == [
        (clip.start_frame, clip.stop_frame) for clip in wanted
    ]
    for one, clip in zip(found, wanted, strict=True):
        assert one.frames is not None
        assert one.frames[:, 0, 0, 0].tolist() == list(clip.frame_indices)
        assert one.span.start_second == pytest.approx(clip.start_frame / 10)
        if count > 1:
            assert one.span.stop_second == pytest.approx(clip.stop_frame / 10, abs=0.07)
    assert not any(one.follows_gap for one in found)


def test_a_segment_with_missing_frames_has_none_and_dropped_ones_are_a_gap() -> None:
    indices = [i for i in range(36) if i not in (8, 11) and not 18 <= i < 30]
    found = cut(Numbers(indices, live=True))
    assert [one.index for one in found] == [0, 1, 2, 5]
    assert [one.frames is None for one in found] == [False, True, False, False]
    assert [one.follows_gap for one in found] == [False, False, True, True]
    assert found[1].reason == "it lacks 1 frame"
    assert found[3].wall == (1e9 + 3.0, 1e9 + 3.5)


def test_what_was_complete_before_a_source_broke_off_is_given() -> None:
    segments = segments_of_source(Numbers(range(8), broken=True), SAMPLING)
    assert next(segments).index == 0
    with pytest.raises(SourceError, match="camera is gone"):
        next(segments)
