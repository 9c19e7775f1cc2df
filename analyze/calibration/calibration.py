"""Rows of a clip table that something may be fitted on, with their labels: a seeded draw of training videos."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from vadprobe.analyze.calibration.labels import CLASS_NAMES, checked_labels
from vadprobe.analyze.evaluation.metrics import clip_counts
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_json
from vadprobe.store.format.clip_table import ClipTable

SegmentLabel = Literal["video", "interval"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Rows of one clip table to fit on.

    ``rows`` (n,) int64, ascending and distinct, are rows of the clip table whose digest is ``clips_digest``; ``labels``
    (n,) int64 are 1 (anomalous) or 0; ``groups`` (n,) int64 are the rows' video codes in that table: folds,
    permutations and bootstraps move whole groups. ``unit`` "video" has one row per video, "segment" every clip.
    ``fraction`` and ``seed`` are those of the draw; ``segment_label`` and ``positive_share`` (the fraction of a clip's
    frames from which "interval" calls it anomalous) say how clips got labels.
    """

    rows: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    unit: Literal["video", "segment"]
    seed: int
    fraction: float
    segment_label: SegmentLabel = "video"
    positive_share: float = 0.5
    clips_digest: str | None = None

    def __post_init__(self) -> None:
        if self.rows.ndim != 1 or not self.rows.shape == self.labels.shape == self.groups.shape:
            raise VadprobeError(
                f"calibration rows, labels and groups must have the same shape (n,), got {self.rows.shape}, "
                f"{self.labels.shape} and {self.groups.shape}."
            )
        if np.any(np.diff(self.rows) <= 0):
            raise VadprobeError("calibration rows must be ascending and distinct; sort them and drop repeats.")
        checked_labels(self.labels, len(self.rows))

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as plain JSON values."""
        arrays = {name: getattr(self, name).tolist() for name in ("rows", "labels", "groups")}
        names = ("unit", "seed", "fraction", "segment_label", "positive_share", "clips_digest")
        return arrays | {name: getattr(self, name) for name in names}

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Calibration":
        """Restore a calibration from ``to_json``."""
        arrays = {name: np.array(value[name], dtype=np.int64) for name in ("rows", "labels", "groups")}
        return Calibration(**(value | arrays))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON form."""
        return digest_json(self.to_json())


def draw_videos(videos: Sequence[Video], fraction: float, seed: int) -> tuple[Video, ...]:
    """Draw training videos to calibrate on, stratified and seeded (section 4.1 of HiProbe-VAD: 1 % of them).

    ``n = round(fraction * n_train)`` videos in all, ``round(n * fraction of anomalous videos)`` of them anomalous (both
    half to even) and the rest normal. Only videos of split "train" are drawn, whatever else is passed, so a test
    video is never calibrated on. The draw depends on names and labels alone, not on their order, and each class has
    its own random stream: with one seed, a larger fraction holds all videos of a smaller one.

    Args:
        videos: any videos with unique names; those of split "train" must have labels.
        fraction: of the training videos, in (0, 1].
        seed: >= 0. With N = 16 results vary widely between seeds: report several.

    Returns:
        The drawn videos, by name.

    Raises:
        VadprobeError: if the fraction or seed is out of range, there is no training video, a training video's label is
            unknown, or a class would get fewer than two videos.
    """
    if not 0 < fraction <= 1:
        raise VadprobeError(f"the calibration fraction must be above 0 and at most 1, got {fraction}.")
    if seed < 0:
        raise VadprobeError(f"the calibration seed must be 0 or more, got {seed}.")
    train = sorted((video for video in videos if video.split == "train"), key=lambda video: video.video_id)
    if not train:
        raise VadprobeError(
            f"none of the {len(videos)} videos is in split 'train', so there is nothing to calibrate on; set the "
            "split of the training videos in the manifest."
        )
    unknown = [video.video_id for video in train if video.label is None]
    if unknown:
        raise VadprobeError(
            f"{len(unknown)} of {len(train)} training videos have no label, first {unknown[0]!r}; label them in the "
            "manifest, by name rule or with an annotation file."
        )
    classes = [[video for video in train if video.label == label] for label in CLASS_NAMES]
    counts = _class_counts(round(fraction * len(train)), classes)
    for label, name in CLASS_NAMES.items():
        if counts[label] < 2:
            raise VadprobeError(_too_few(name, counts, classes, fraction))
    drawn = [
        members[index]
        for label, members in enumerate(classes)
        for index in np.random.default_rng([seed, label]).permutation(len(members))[: counts[label]]
    ]
    return tuple(sorted(drawn, key=lambda video: video.video_id))


def _class_counts(total: int, classes: Sequence[Sequence[Video]]) -> tuple[int, int]:
    """Return the numbers of normal and anomalous videos in a draw of ``total``."""
    anomalous = round(total * len(classes[1]) / (len(classes[0]) + len(classes[1])))
    return total - anomalous, anomalous


def _too_few(name: str, counts: tuple[int, int], classes: Sequence[Sequence[Video]], fraction: float) -> str:
    available = len(classes[0]) + len(classes[1])
    enough = [total for total in range(1, available + 1) if min(_class_counts(total, classes)) >= 2]
    remedy = (
        f"a draw of {enough[0]} videos (fraction {enough[0] / available:.4g}) would have them."
        if enough
        else "no fraction gives that: more labelled training videos are needed."
    )
    return (
        f"the calibration fraction {fraction} of {available} training videos draws {counts[0]} of {len(classes[0])} "
        f"normal and {counts[1]} of {len(classes[1])} anomalous ones; there must be at least two {name} videos, and "
        f"{remedy}"
    )


def calibration_rows(
    table: ClipTable,
    videos: Sequence[Video],
    dataset: Dataset,
    *,
    segment_label: SegmentLabel,
    seed: int,
    fraction: float,
) -> Calibration:
    """Return the rows of drawn videos in a clip table, with labels.

    With the table's unit "video" each video is one row and has the video's label, as both papers have it. With unit
    "segment" every clip of a drawn video is a row, and ``segment_label`` says where its label comes from: "video"
    copies the video's, which calls every calm clip of an anomalous video anomalous; "interval" calls a clip anomalous
    when at least half of its frames are in an anomalous interval.

    Args:
        table: the clips.
        videos: what ``draw_videos`` gave; all must have a label and rows in the table.
        dataset: where the intervals are, 0-based and half-open.
        seed, fraction: of the draw; kept as a record.

    Raises:
        VadprobeError: if a video has no label or no row, "interval" is asked of whole videos or of an anomalous video
            without intervals (all its clips would count as normal), or a class has fewer than two rows.
    """
    if segment_label == "interval" and table.sampling.unit == "video":
        raise VadprobeError(
            "segment_label is 'interval', but each sample is a whole video; set it to 'video', or calibrate on "
            "segments."
        )
    _check_drawn(table, videos, dataset, segment_label)
    label_of = {video.video_id: video.label for video in videos}
    rows = table.rows_of(label_of)
    groups = table.video_codes[rows].astype(np.int64)
    if segment_label == "video":
        labels = np.array([label_of[table.video_ids[code]] for code in groups], dtype=np.int64)
    else:
        labels = np.zeros(len(rows), dtype=np.int64)
        for code in np.unique(groups):
            labels[groups == code] = _mostly_anomalous(table, dataset, int(code))
    return Calibration(
        rows=rows.astype(np.int64),
        labels=labels,
        groups=groups,
        unit=table.sampling.unit,
        seed=seed,
        fraction=fraction,
        segment_label=segment_label,
        clips_digest=table.digest,
    )


def _mostly_anomalous(table: ClipTable, dataset: Dataset, code: int) -> np.ndarray:
    """Tell for each clip of one video, in the order of its rows, if half of its frames or more are anomalous."""
    rows = np.flatnonzero(table.video_codes == code)
    starts, stops = table.start_frames[rows], table.stop_frames[rows]
    truth = dataset.truth(table.video_ids[code], int(stops.max()))
    positives, negatives = clip_counts(truth, starts, stops)
    return np.asarray(positives >= negatives)


def _check_drawn(table: ClipTable, videos: Sequence[Video], dataset: Dataset, segment_label: SegmentLabel) -> None:
    with_rows = {table.video_ids[code] for code in np.unique(table.video_codes)}
    annotated = {interval.video_id for interval in dataset.intervals}
    anomalous = [video.video_id for video in videos if video.label == 1]
    without_truth = [name for name in anomalous if name not in annotated] if segment_label == "interval" else []
    for names, fault in (
        ([v.video_id for v in videos if v.label is None], "have no label; label them in the manifest"),
        ([v.video_id for v in videos if v.video_id not in with_rows], "have no row in the clip table; plan it again"),
        (
            without_truth,
            "are anomalous without an interval: all their clips would be normal; use segment_label 'video'",
        ),
    ):
        if names:
            raise VadprobeError(f"{len(names)} of {len(videos)} drawn videos {fault}. First: {names[0]!r}.")
