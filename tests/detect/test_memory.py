"""Memory of a detection does not grow with the length of the video: what is kept is counted, not resident bytes."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.detect.conftest import Cached
from tests.detect.test_detector import written
from vadprobe.detect import Detector, Event
from vadprobe.detect.explanations.stream_events import MOST_WAITING, StreamExplainer
from vadprobe.detect.results.files import DetectionFiles
from vadprobe.detect.results.summary import VideoSummary
from vadprobe.detect.sources.frames import TimedFrame

N_SEGMENTS = 160
FIRST_LOOK = 40
"""Segments after which everything that is made once is there."""


class Numbered:
    """A stream of noise that knows which of its frames somebody still holds."""

    name, fps, notes = "noise", 25.0, ()

    def __init__(self, n_frames: int) -> None:
        self.n_frames, self.held, self.most = n_frames, weakref.WeakSet[np.ndarray](), 0

    def frames(self) -> Iterator[TimedFrame]:
        generator = np.random.default_rng(0)
        for index in range(self.n_frames):
            # The picture changes every few segments, so that events begin and end.
            level = 40 * (1 + index // 50 % 5)
            pixels = generator.integers(0, level, (56, 84, 3), dtype=np.uint8).view(Picture)
            self.held.add(pixels)
            self.most = max(self.most, len(self.held))
            yield TimedFrame(index, index / self.fps, pixels)

    def close(self) -> None:
        """Nothing is open."""


class Picture(np.ndarray):
    """An array that can be in a set."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


@pytest.mark.slow
def test_what_is_kept_does_not_grow_with_the_length(cached: Cached, tmp_path: Path) -> None:
    fitted = cached.detector("head")
    length = fitted.features.sampling.clip_length or 1
    source, video = Numbered(N_SEGMENTS * length), VideoSummary("noise")
    files = DetectionFiles(tmp_path / "out")
    n_objects, n_events, n_segments = list[int](), 0, 0
    with Detector.load(written(fitted, tmp_path), device="cpu", threads=1) as detector:
        explainer = StreamExplainer(detector, lambda: True)  # events wait, and the oldest are let go
        stream, segments = detector.open(source)
        for item in stream.run(explainer.keep(segments)):
            files.write(item)
            video.count(item)
            for one in explainer.take(item):
                files.explain(one.to_json(), "generated")
            n_events += isinstance(item, Event)
            if not isinstance(item, Event):
                n_segments += 1
                if n_segments in (FIRST_LOOK, N_SEGMENTS - 10):
                    gc.collect()
                    n_objects.append(len(gc.get_objects()))
        assert len(list(explainer.give_up("the end"))) == min(n_events, MOST_WAITING)
    files.close({})
    assert n_events > MOST_WAITING, "else nothing is let go"
    assert n_segments == N_SEGMENTS
    assert n_objects[1] - n_objects[0] < (N_SEGMENTS - FIRST_LOOK) / 2, "something is kept for every segment"
    assert source.most <= 3 * length, "frames of more than the segment at hand are held"
