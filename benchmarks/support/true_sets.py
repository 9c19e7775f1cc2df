"""Data sets of true names, lengths and truth, from their annotation files, and copies of another size.

Where the files are absent, lengths are drawn: log-normal with a median of 2,100 frames and a deviation of 1.1 of the
logarithm, which has the mean of UCF-Crime's test videos; half of the videos are anomalous, in their middle fifth.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.sources import read_source
from vadprobe.store.datasets.validation_split import hold_out
from vadprobe.store.datasets.video import Interval, Split, Video

MEDIAN_FRAMES, SPREAD = 2100, 1.1
COUNTS = {"ucf-crime": (1610, 290), "xd-violence": (3954, 800)}
"""Training and test videos of each set."""

_FPS = {"ucf-crime": 30.0, "xd-violence": 24.0}


def true_set(name: str, folder: Path | None) -> tuple[Dataset, bool]:
    """Return a set with frame counts for every video, and True if its test videos are the real ones.

    Args:
        name: "ucf-crime" or "xd-violence".
        folder: the folder with a folder of annotation files for each set; if None, or without this set, lengths are
            drawn.
    """
    generator = np.random.default_rng(0)
    is_real = folder is not None and (folder / name).is_dir()
    if is_real:
        assert folder is not None
        dataset = read_source(DatasetConfig(name=name, format=name, source=str(folder / name)), Path()).joined().dataset
    else:
        dataset = _drawn(name, generator)
    videos = []
    for video in dataset.videos:
        n_frames = video.n_frames or _length(generator)
        videos.append(replace(video, n_frames=n_frames, fps=_FPS[name], path=video.path or f"{video.video_id}.mp4"))
    return replace(dataset, videos=tuple(videos), missing=()), is_real


def of_size(dataset: Dataset, factor: float, n_train: int) -> Dataset:
    """Return the set with `factor` times as many test videos and `n_train` training ones, half of them anomalous.

    First, a tenth of the test videos becomes the validation split. A factor below 1 draws videos of each class and
    split, at least one; a factor above 1 must be whole, and repeats the videos under other names.
    """
    held = hold_out(dataset, (), 0.1, 0)
    kept: list[Video] = [
        *_drawn_from(held, "train", 0, n_train // 2),
        *_drawn_from(held, "train", 1, n_train - n_train // 2),
    ]
    parts: tuple[Split, ...] = ("validation", "test")
    for split in parts:
        for label in (0, 1):
            every = [video for video in held.of_split(split) if video.label == label]
            kept += _drawn_from(held, split, label, max(1, round(factor * len(every)))) if factor < 1 else every
    intervals = [interval for video in kept for interval in held.intervals_of(video.video_id)]
    for copy in range(2, round(factor) + 1):
        again = [video for video in kept if video.split != "train" and "+" not in video.video_id]
        for video in again:
            name = f"{video.video_id}+{copy}"
            kept.append(replace(video, video_id=name, path=f"{name}.mp4"))
            intervals += [replace(interval, video_id=name) for interval in held.intervals_of(video.video_id)]
    return replace(held, videos=tuple(kept), intervals=tuple(intervals))


def _drawn_from(dataset: Dataset, split: Split, label: int, count: int) -> Sequence[Video]:
    every = [video for video in dataset.of_split(split) if video.label == label]
    chosen = np.random.default_rng(label).permutation(len(every))[:count]
    return [every[number] for number in np.sort(chosen)]


def _length(generator: np.random.Generator) -> int:
    return int(np.clip(generator.lognormal(np.log(MEDIAN_FRAMES), SPREAD), 100, 100_000))


def _drawn(name: str, generator: np.random.Generator) -> Dataset:
    videos, intervals = [], []
    splits: tuple[tuple[Split, int], ...] = tuple(zip(("train", "test"), COUNTS[name], strict=True))
    for split, count in splits:
        for number in range(count):
            video = f"{split}{number:04d}"
            n_frames, label = _length(generator), number % 2
            videos.append(Video(video, f"{video}.mp4", n_frames, _FPS[name], split, label, "drawn" if label else None))
            if label:
                intervals.append(Interval(video, 2 * n_frames // 5, 3 * n_frames // 5, "drawn"))
    return Dataset(name, Path(), tuple(videos), tuple(intervals))
