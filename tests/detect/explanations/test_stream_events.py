"""Explanations of events in streams: frames that are kept, texts at once or at a quiet moment, what is let go."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.detect.conftest import Cached
from tests.detect.test_detector import Pictures, written
from tests.support.extractions import SEGMENTS
from vadprobe.detect import Detector, Event
from vadprobe.detect.explanations import stream_events
from vadprobe.detect.explanations.stream_events import SpreadFrames, StreamExplainer
from vadprobe.extract.model.texts.explanations import ExplanationRequest, explain_segments
from vadprobe.store.format.sampling import sample_frames

LENGTH = SEGMENTS.clip_length or 1


@pytest.fixture
def detector(cached: Cached, tmp_path: Path) -> Any:
    with Detector.load(written(cached.detector("head", sigma=0.0), tmp_path), device="cpu", threads=1) as loaded:
        yield loaded


@pytest.fixture
def camera(video_folder: Path) -> Pictures:
    """A stream that shows the same scenes three times, so that its events come again."""
    found = Pictures(video_folder / "second.mp4")
    found.pixels = np.concatenate([found.pixels[: len(found.pixels) // LENGTH * LENGTH]] * 3)
    return found


def explained(detector: Detector, video: Any, explainer: StreamExplainer) -> tuple[list[Event], list[Any]]:
    """Events, and their texts in the order in which they came before the end."""
    stream, segments = detector.open(video, name="camera")
    events, texts = [], []
    for item in stream.run(explainer.keep(segments)):
        events += [item] if isinstance(item, Event) else []
        texts += explainer.take(item)
    return events, texts


def test_events_are_explained_when_they_close_by_frames_spread_over_them(detector: Detector, camera: Pictures) -> None:
    events, texts = explained(detector, camera, StreamExplainer(detector, lambda: False))
    assert [one.event for one in texts] == events
    assert len(events) >= 3
    for one in texts:
        event = one.event
        parts = range(event.start_frame, event.stop_frame, LENGTH)
        seen = [place for start in parts for place in sample_frames(start, start + LENGTH, SEGMENTS.frames_per_clip)]
        step = next(step for step in (1, 2, 4, 8, 16) if len(seen[::step]) <= 2 * SEGMENTS.frames_per_clip)
        kept = seen[::step]
        frames = camera.pixels[[kept[place] for place in sample_frames(0, len(kept), SEGMENTS.frames_per_clip)]]
        seconds = event.stop_second - event.start_second
        request = ExplanationRequest("camera", event.start_frame, event.stop_frame, frames, seconds=seconds)
        assert explain_segments(detector.scorer.forward.backbone, [request]) == [one.explanation]


def test_a_stream_under_pressure_is_explained_later_and_the_oldest_event_is_let_go(
    detector: Detector, camera: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_events, "MOST_WAITING", 1)
    explainer = StreamExplainer(detector, lambda: True)
    events, texts = explained(detector, camera, explainer)
    assert [one.event for one in texts] == events[:-1]
    assert {one.line() for one in texts} == {
        "not explained: scoring left no time, and more events came than may wait (1)"
    }
    (last,) = explainer.finish()
    assert last.event == events[-1]
    assert last.explanation is not None
    explained(detector, camera, explainer)
    (left,) = explainer.give_up("interrupted")
    assert (left.explanation, left.reason) == (None, "interrupted")
    assert not list(explainer.finish())


@pytest.mark.parametrize("length", [1, 7, 8, 9, 100, 1000])
def test_kept_frames_are_few_and_evenly_spread(length: int) -> None:
    kept = SpreadFrames(8)
    for start in range(0, length, 5):
        kept.add(np.arange(start, min(start + 5, length)).reshape(-1, 1, 1, 1) * np.ones((1, 2, 3, 3)))
        assert len(kept._kept) <= 8
    chosen = kept.chosen(4)[:, 0, 0, 0]
    even = (2 * np.arange(4) + 1) * length / 8
    assert chosen.shape == (4,)
    assert np.abs(chosen - even).max() <= max(length / 4, 1)
    kept.add(np.full((2, 5, 5, 3), 7.0))  # another size of picture: no frame of it stands beside the others
    assert kept.chosen(4).shape == (4, 5, 5, 3)
