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

    `rows` (n,) int64, ascending and distinct, are rows of the clip table whose digest is `clips_digest`; `labels`
    (n,) int64 are 1 (anomalous) or 0; `groups` (n,) int64 are the rows' video codes in that table: folds,
    permutations and bootstraps move whole groups. `unit` "video" has one row per video, "segment" every clip.
    `fraction` and `seed` are those of the draw; `segment_label` and `positive_share` (the fraction of a clip's
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
        checked_labels(self.labels, len(self.rows))

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as plain JSON values."""
        arrays = {name: getattr(self, name).tolist() for name in ("rows", "labels", "groups")}
        names = ("unit", "seed", "fraction", "segment_label", "positive_share", "clips_digest")
        return arrays | {name: getattr(self, name) for name in names}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON form."""
        return digest_json(self.to_json())


def draw_videos(videos: Sequence[Video], fraction: float, seed: int) -> tuple[Video, ...]:
    """Draw training videos to calibrate on, stratified and seeded (section 4.1 of HiProbe-VAD: 1 % of them).

    `n = round(fraction * n_train)` videos in all, `round(n * fraction of anomalous videos)` of them anomalous (both
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
        VadprobeError: if there is no training video, a training video's label is unknown, or a class would get fewer
            than two videos.
    """
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
    """Return the numbers of normal and anomalous videos in a draw of `total`."""
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
    "segment" every clip of a drawn video is a row, and `segment_label` says where its label comes from: "video"
    copies the video's, which calls every calm clip of an anomalous video anomalous; "interval" calls a clip anomalous
    when at least half of its frames are in an anomalous interval.

    Args:
        table: the clips.
        videos: what `draw_videos` gave; all must have a label and rows in the table.
        dataset: where the intervals are, 0-based and half-open.
        seed, fraction: of the draw; kept as a record.

    Raises:
        VadprobeError: if "interval" is asked of whole videos or of an anomalous video without intervals (all its clips
            would count as normal), or a class has fewer than two rows.
    """
    if segment_label == "interval" and table.sampling.unit == "video":
        raise VadprobeError(
            "segment_label is 'interval', but each sample is a whole video; set it to 'video', or calibrate on "
            "segments."
        )
    label_of = {video.video_id: video.label for video in videos}
    rows = table.rows_of(label_of)
    groups = table.video_codes[rows].astype(np.int64)
    if segment_label == "video":
        labels = np.array([label_of[table.video_ids[code]] for code in groups], dtype=np.int64)
    else:
        _check_intervals(videos, dataset)
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


def _check_intervals(videos: Sequence[Video], dataset: Dataset) -> None:
    annotated = {interval.video_id for interval in dataset.intervals}
    names = [video.video_id for video in videos if video.label == 1 and video.video_id not in annotated]
    if names:
        raise VadprobeError(
            f"{len(names)} of {len(videos)} drawn videos are anomalous without an interval: all their clips would be "
            f"normal; use segment_label 'video'. First: {names[0]!r}."
        )
