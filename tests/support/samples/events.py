"""Random events and true events, as rows (video, start, stop), and runs of marked frames."""

import math

import numpy as np
from hypothesis import strategies as st

from vadprobe.analyze.evaluation.events.events import Events

IOUS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.55", "0.75", "1")
NONE = np.array([], dtype=np.int64)
intervals = st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(1, 12)).map(
    lambda i: (i[0], i[1], i[1] + i[2])
)
truths = st.lists(intervals, max_size=7)
# Few values of confidence, so that ties are frequent; these events may overlap, which detected events never do.
predictions = st.lists(st.tuples(intervals, st.sampled_from([-1.0, 0.25, 0.5, 0.7])), max_size=9)
clips = st.lists(st.tuples(intervals, st.sampled_from([0.1, 0.5, 0.6, 0.7, 0.9, math.nan])), max_size=14)


def columns(rows):
    """Return rows of three integers, (n, 3), as groups, starts, stops."""
    return tuple(np.array(rows, dtype=np.int64).reshape(len(rows), 3).T)


def as_events(rows):
    return Events(
        *columns([interval for interval, _ in rows]), np.array([value for _, value in rows], dtype=np.float64)
    )


def rows_of(events):
    found = (events.groups, events.start_frames, events.stop_frames, events.confidences)
    return list(zip(*(part.tolist() for part in found), strict=True))


def oracle_runs(rows):
    """Return the runs of frames by video: frames are marked one by one, then read."""
    runs = []
    for group in sorted({row[0] for row in rows}):
        frames = {frame for video, start, stop in rows if video == group for frame in range(start, stop)}
        for start in sorted(frame for frame in frames if frame - 1 not in frames):
            stop = start
            while stop in frames:
                stop += 1
            runs.append((group, start, stop))
    return runs
