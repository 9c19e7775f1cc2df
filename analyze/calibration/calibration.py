"""The calibration set: labelled rows of a clip table to fit on, from a seeded draw of training videos."""

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
    """Calibration set: labelled rows of one clip table.

    Attributes:
        rows: (n,) int64, ascending and distinct, rows of the clip table.
        labels: (n,) int64, 1 anomalous, 0 normal.
        groups: (n,) int64, video code of each row; folds, permutations and bootstraps move whole videos.
        clips_digest: digest of the clip table; None if it is not known.
        unit: "video" for one row per video, "segment" for every clip.
        segment_label: the way clips got their labels, see `calibration_rows`.
        positive_share: fraction of a clip's frames from which "interval" labels it anomalous.
        fraction: of the draw.
        seed: of the draw.
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

    Of `n = round(fraction * n_train)` videos, `round(n * fraction of anomalous videos)` are anomalous and the rest
    normal; halves are rounded to even. Only videos of split "train" are drawn, so a test video is never calibrated on.
    The draw depends on seed, names and labels, not on the order of the videos. Each class has its own random stream:
    with one seed, the draw of a larger fraction contains that of a smaller one.

    Args:
        videos: any videos with unique names; those of split "train" must have labels.
        fraction: of the training videos, in (0, 1].
        seed: >= 0. With 16 videos, results vary widely between seeds: report several.

    Returns:
        The drawn videos, sorted by name.

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

    If the table's unit is "video", each video is one row with the video's label, as in both papers. If it is "segment",
    every clip of a drawn video is a row, and `segment_label` decides its label: "video" copies the video's label, also
    to calm clips of an anomalous video; "interval" labels a clip anomalous if at least half of its frames are in an
    anomalous interval.

    Args:
        table: the clips.
        videos: as `draw_videos` returns them; all must have a label and rows in the table.
        dataset: has the intervals of the videos, in half-open frames from 0.
        segment_label: "video" or "interval".
        seed, fraction: of the draw, to be kept with the result.

    Raises:
        VadprobeError: if a class has fewer than two rows; if `segment_label` is "interval" and a row is a whole video,
            or an anomalous video has no interval (all its clips would count as normal).
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
    """Return (clips,) bool for the rows of one video: True where at least half of a clip's frames are anomalous."""
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
