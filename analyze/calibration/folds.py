"""Folds for cross-validation over whole videos, since clips of one video are too similar to be split."""

import numpy as np

from vadprobe.analyze.calibration.labels import CLASS_NAMES
from vadprobe.store.errors import VadprobeError


def video_folds(labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Deal whole videos into folds, seeded and stratified.

    A video with an anomalous row counts as anomalous. Each class is shuffled by its own random stream and dealt out one
    video at a time. The anomalous videos begin at the fold behind the last normal video, so that the folds' numbers of
    videos, per class and in total, differ by one at most. Folds that split videos, or that ignore labels, show signal
    where there is none.

    Args:
        labels: (n,) bool or int, 1 = anomalous, 0 = normal.
        groups: (n,) integers, the video of each row.
        n_folds: >= 2.
        seed: >= 0.

    Returns:
        (n,) int64, the fold of each row, 0 to n_folds - 1. Every fold has a video of each class. The fold of a video
        depends on the codes and classes of all videos, not on the order or number of their rows.

    Raises:
        VadprobeError: if there are fewer than two folds, or fewer videos of a class than folds; the message says how
            many folds there could be.
    """
    if n_folds < 2:
        raise VadprobeError(f"n_folds must be at least 2, got {n_folds}.")
    codes, video_of_row = np.unique(groups, return_inverse=True)
    anomalous = np.zeros(len(codes), dtype=np.int64)
    np.maximum.at(anomalous, video_of_row, labels.astype(np.int64))
    counts = np.bincount(anomalous, minlength=2)
    if counts.min() < n_folds:
        raise VadprobeError(_too_few(counts, n_folds))
    fold_of_video = np.empty(len(codes), dtype=np.int64)
    for label in CLASS_NAMES:
        shuffled = np.random.default_rng([seed, label]).permutation(np.flatnonzero(anomalous == label))
        fold_of_video[shuffled] = (np.arange(len(shuffled)) + label * counts[0]) % n_folds
    return np.asarray(fold_of_video[video_of_row])


def _too_few(counts: np.ndarray, n_folds: int) -> str:
    most = int(counts.min())
    remedy = (
        f"n_folds can be {most} at most."
        if most >= 2
        else "no cross-validation is possible below two videos of each class: draw a larger calibration set."
    )
    return (
        f"n_folds is {n_folds}, but there are {counts[0]} normal and {counts[1]} anomalous videos, and every fold "
        f"must have one of each: there are too few {CLASS_NAMES[int(counts.argmin())]} ones, and {remedy}"
    )
