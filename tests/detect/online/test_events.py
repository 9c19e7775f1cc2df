"""Events online: those of the offline locator, one after another; hysteresis; gaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadprobe.analyze.locator.segments import ANOMALOUS, KINDS, cut_segments
from vadprobe.detect.online.events import Event, EventTracker, Hysteresis, Span
from vadprobe.store.errors import VadprobeError

LENGTH = 10
VALUES = st.one_of(st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0, float("nan")]), st.floats(0, 1))


def span(number: int, frames: int = LENGTH) -> Span:
    start = number * LENGTH
    return Span(start, start + frames, start / 5, (start + frames) / 5)


def tracked(scores: list[float], thresholds: Hysteresis, last: int = LENGTH) -> tuple[list[str], list[Event]]:
    tracker, states, events = EventTracker("video", thresholds), [], []
    for number, score in enumerate(scores):
        state, event = tracker.add(span(number, last if number == len(scores) - 1 else LENGTH), score)
        states.append(state)
        events += [event] if event else []
    event = tracker.finish()
    return states, events + ([event] if event else [])


@given(st.lists(VALUES, min_size=1, max_size=30), st.integers(1, LENGTH))
def test_events_are_those_of_the_offline_locator(scores: list[float], last: int) -> None:
    states, events = tracked(scores, Hysteresis(0.5, 0.5), last)
    starts = np.arange(len(scores)) * LENGTH
    stops = starts + LENGTH
    stops[-1] = starts[-1] + last
    wanted = cut_segments(np.array(scores), starts, stops, np.zeros(len(scores), dtype=np.int64), 0.5)
    chosen = wanted.kinds == ANOMALOUS
    for name, column in (("start_frame", wanted.start_frames), ("stop_frame", wanted.stop_frames)):
        assert [getattr(event, name) for event in events] == column[chosen].tolist()
    assert [event.peak_score for event in events] == wanted.peaks[chosen].tolist()
    assert [event.peak_frame for event in events] == wanted.peak_frames[chosen].tolist()
    np.testing.assert_allclose([event.mean_score for event in events], wanted.means[chosen], atol=1e-12)
    kind_of = {int(start): KINDS[kind] for start, kind in zip(wanted.start_frames, wanted.kinds, strict=True)}
    current = ""
    for number, state in enumerate(states):
        current = kind_of.get(number * LENGTH, current)
        assert state == current


def test_with_hysteresis_an_event_goes_on_above_the_lower_threshold() -> None:
    states, events = tracked([0.4, 0.7, 0.4, 0.3, 0.6, 0.2], Hysteresis(0.5, 0.3))
    assert states == ["normal", "anomalous", "anomalous", "normal", "anomalous", "normal"]
    assert [(event.start_frame, event.stop_frame) for event in events] == [(10, 30), (40, 50)]
    assert (events[0].start_second, events[0].stop_second) == (2.0, 6.0)


def test_missing_frames_end_an_event() -> None:
    tracker = EventTracker("video", Hysteresis(0.5, 0.5))
    assert tracker.add(span(0), 0.9, (100.0, 102.0)) == ("anomalous", None)
    assert tracker.add(span(1), 0.9, (102.0, 104.0)) == ("anomalous", None)
    state, event = tracker.add(span(4), 0.9)
    assert state == "anomalous"
    assert event is not None
    assert (event.start_frame, event.stop_frame, event.wall_start, event.wall_stop) == (0, 20, 100.0, 104.0)
    assert tracker.is_open


@pytest.mark.parametrize("stays", [0.6, float("nan")])
def test_an_event_cannot_end_above_where_it_begins(stays: float) -> None:
    with pytest.raises(VadprobeError, match=r"at most 0\.5"):
        Hysteresis(0.5, stays)
