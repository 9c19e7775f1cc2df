"""Frame-level ground truth of videos as intervals; frames are counted, never expanded."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.joining import naming
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_json


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Anomalous frames of some videos. Made by `ground_truth`.

    Attributes:
        video_ids: names of the videos, ascending; a video's code is its index here.
        n_frames: (videos,) int64.
        labels: (videos,) int64, 1 anomalous, 0 normal.
        categories: category of each video; None where it is not known.
        interval_codes: (intervals,) int64, code of each interval's video.
        interval_starts, interval_stops: (intervals,) int64, half-open frames, sorted, disjoint and inside the video.
    """

    dataset: str
    video_ids: tuple[str, ...]
    n_frames: np.ndarray
    labels: np.ndarray
    categories: tuple[str | None, ...]
    interval_codes: np.ndarray
    interval_starts: np.ndarray
    interval_stops: np.ndarray

    @cached_property
    def offsets(self) -> np.ndarray:
        """First frame of each video on an axis on which all videos lie end to end, (videos,) int64."""
        return np.asarray(np.cumsum(self.n_frames) - self.n_frames)

    @cached_property
    def n_positive(self) -> np.ndarray:
        """Number of anomalous frames of each video, (videos,) int64."""
        lengths = self.interval_stops - self.interval_starts
        total = np.zeros(len(self.video_ids), dtype=np.int64)
        np.add.at(total, self.interval_codes, lengths)
        return total

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, lengths, labels and intervals; a result names it, so its ground truth is known.

        It depends neither on the order of the videos nor on how intervals were cut into touching pieces.
        """
        intervals: dict[int, list[list[int]]] = {}
        for code, start, stop in zip(*self._interval_lists(), strict=True):
            intervals.setdefault(code, []).append([start, stop])
        rows = zip(self.video_ids, self.n_frames.tolist(), self.labels.tolist(), strict=True)
        return digest_json(sorted([*row, intervals.get(code, [])] for code, row in enumerate(rows)))

    def _interval_lists(self) -> tuple[list[int], list[int], list[int]]:
        return self.interval_codes.tolist(), self.interval_starts.tolist(), self.interval_stops.tolist()

    def without(self, names: Sequence[str]) -> "GroundTruth":
        """Return the truth of all videos except the named ones."""
        left_out = set(names)
        keep = np.array([name not in left_out for name in self.video_ids], dtype=bool)
        new_code = np.cumsum(keep) - 1
        mine = keep[self.interval_codes]
        return GroundTruth(
            dataset=self.dataset,
            video_ids=tuple(name for name in self.video_ids if name not in left_out),
            n_frames=self.n_frames[keep],
            labels=self.labels[keep],
            categories=tuple(c for c, kept in zip(self.categories, keep.tolist(), strict=True) if kept),
            interval_codes=new_code[self.interval_codes[mine]],
            interval_starts=self.interval_starts[mine],
            interval_stops=self.interval_stops[mine],
        )

    def counts(self, codes: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Count anomalous and normal frames of segments.

        Args:
            codes: (n,) integers, each segment's video.
            starts, stops: (n,) integers, half-open frames of that video; segments may overlap or be empty.

        Returns:
            positives, negatives: (n,) int64.

        Raises:
            VadprobeError: if a segment does not lie inside its video.
        """
        codes, starts, stops = np.asarray(codes), np.asarray(starts), np.asarray(stops)
        outside = (starts < 0) | (stops < starts) | (stops > self.n_frames[codes])
        if np.any(outside):
            first = int(np.flatnonzero(outside)[0])
            code = int(codes[first])
            raise VadprobeError(
                f"a segment of video {self.video_ids[code]!r} is [{starts[first]}, {stops[first]}), but "
                f"the video has {self.n_frames[code]} frames; segments must lie inside. The truth may be "
                "of another cut of the video."
            )
        before = self.offsets[codes]
        positives = self._positives_before(before + stops) - self._positives_before(before + starts)
        return positives, (stops - starts) - positives

    def _positives_before(self, frames: np.ndarray) -> np.ndarray:
        """Count the anomalous frames before each frame of the axis on which all videos lie end to end."""
        if len(self.interval_codes) == 0:
            return np.zeros(len(frames), dtype=np.int64)
        before = self.offsets[self.interval_codes]
        starts, stops = before + self.interval_starts, before + self.interval_stops
        whole = np.concatenate([[0], np.cumsum(stops - starts)])
        passed = np.searchsorted(stops, frames, side="right")
        inside = np.minimum(passed, len(starts) - 1)
        part = np.where(passed < len(starts), np.maximum(frames - starts[inside], 0), 0)
        return np.asarray(whole[passed] + part)


def ground_truth(dataset: Dataset, videos: Sequence[Video]) -> GroundTruth:
    """Return the truth of some videos; touching and overlapping intervals are merged and cut at the video's end.

    Videos are sorted by name, so no result depends on the order of `videos`.

    Raises:
        VadprobeError: if there is no video, a video's label or frame count is unknown, or a normal video has an
            anomalous interval; the message names them.
    """
    if not videos:
        splits = Counter(video.split for video in dataset.videos)
        has = ", ".join(f"{count} in {split!r}" for split, count in splits.items()) or "none at all"
        raise VadprobeError(
            f"there is no video of {dataset.name!r} to measure; its videos are {has}. Name another split, or check the "
            "annotation."
        )
    for fault, names in (
        ("no label", [video.video_id for video in videos if video.label is None]),
        ("no frame count", [video.video_id for video in videos if video.n_frames is None]),
    ):
        if names:
            raise VadprobeError(
                f"{len(names)} of {len(videos)} videos have {fault} ({naming(names)}). Every measured video needs an "
                "annotation and a frame count: name the folder of the video files (videos, --videos), a table of "
                "counts (frame_counts, --frame-counts), or give a table of your own the column n_frames."
            )
    both = [video.video_id for video in videos if video.label == 0 and dataset.intervals_of(video.video_id)]
    if both:
        raise VadprobeError(
            f"{len(both)} of {len(videos)} videos are labelled normal and have anomalous intervals ({naming(both)}). "
            "Correct the labels or the intervals."
        )
    videos = sorted(videos, key=lambda video: video.video_id)
    merged: list[tuple[int, int, int]] = []
    for code, video in enumerate(videos):
        for interval in dataset.intervals_of(video.video_id):
            start, stop = interval.start_frame, min(interval.stop_frame, video.n_frames or 0)
            if start >= stop:
                continue
            if merged and merged[-1][0] == code and start <= merged[-1][2]:
                merged[-1] = (code, merged[-1][1], max(stop, merged[-1][2]))
            else:
                merged.append((code, start, stop))
    columns = np.array(merged, dtype=np.int64).reshape(-1, 3).T
    return GroundTruth(
        dataset=dataset.name,
        video_ids=tuple(video.video_id for video in videos),
        n_frames=np.array([video.n_frames for video in videos], dtype=np.int64),
        labels=np.array([video.label for video in videos], dtype=np.int64),
        categories=tuple(video.category for video in videos),
        interval_codes=columns[0],
        interval_starts=columns[1],
        interval_stops=columns[2],
    )
