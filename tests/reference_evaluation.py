"""Slow oracles of the evaluation: frames are expanded and looped over, with scikit-learn and scipy where they exist."""

import csv
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
NO_SHARED = f"the real annotation files are not at {SHARED} (they are not redistributed)"


def expand(scores, positives, negatives):
    """(frames,) truth and scores, unit after unit."""
    truth, values = [], []
    for score, positive, negative in zip(scores, positives, negatives, strict=True):
        truth += [1] * int(positive) + [0] * int(negative)
        values += [float(score)] * int(positive + negative)
    return np.array(truth), np.array(values)


def metrics_on_frames(truth, values):
    """scikit-learn's (AUC, step AP, trapezoid area) on single frames."""
    precision, recall, _ = precision_recall_curve(truth, values)
    return roc_auc_score(truth, values), average_precision_score(truth, values), auc(recall, precision)


def pairs_won(truth, values):
    """AUC from its meaning: every pair of a positive and a negative frame, one by one, ties counting half."""
    positives, negatives = values[truth == 1], values[truth == 0]
    wins = sum(float(p > n) + 0.5 * float(p == n) for p in positives for n in negatives)
    return wins / (len(positives) * len(negatives))


def grid_by_loops(scores, positives, negatives, groups, sigmas, thresholds):
    """Frame F1 of every cell with scipy per video and single frames per cell, and the first best cell."""
    values = np.empty((len(sigmas), len(thresholds)))
    best, winner = -1.0, None
    for row, sigma in enumerate(sigmas):
        smoothed = np.array(scores, dtype=np.float64)
        for video in dict.fromkeys(groups):
            mine = np.asarray(groups) == video
            if sigma > 0:
                smoothed[mine] = gaussian_filter1d(smoothed[mine], sigma, mode="reflect", truncate=4.0)
        truth, frames = expand(smoothed, positives, negatives)
        for column, threshold in enumerate(thresholds):
            found = frames > threshold
            wrong = np.sum(found != (truth == 1))
            values[row, column] = 2 * np.sum(found & (truth == 1)) / (2 * np.sum(found & (truth == 1)) + wrong)
            if values[row, column] > best:
                best, winner = values[row, column], (sigma, threshold)
    return values, winner


def smooth_by_weights(scores, sigma):
    """Weighted mean over the known neighbours, by two loops; the edge is mirrored, the edge clip included."""
    radius = int(4 * sigma + 0.5)
    mirrored = np.pad(np.asarray(scores, dtype=np.float64), radius, mode="symmetric")
    result = []
    for centre in range(radius, radius + len(scores)):
        total = weight_sum = 0.0
        for offset in range(-radius, radius + 1):
            value = mirrored[centre + offset]
            if not np.isnan(value):
                weight = np.exp(-0.5 * (offset / sigma) ** 2)
                total, weight_sum = total + weight * value, weight_sum + weight
        result.append(np.nan if np.isnan(mirrored[centre]) else total / weight_sum)
    return np.array(result)


def runs_of_frames(flags):
    """Half-open runs of true frames, frame by frame."""
    runs, begin = [], None
    for frame, flag in enumerate([*flags, False]):
        if flag and begin is None:
            begin = frame
        elif not flag and begin is not None:
            runs.append([begin, frame])
            begin = None
    return runs


def frame_counts(dataset_folder):
    """Frames of each test video of a folder of the shared files."""
    with (SHARED / dataset_folder / "test_frame_counts.csv").open() as file:
        return {row["video"]: int(row["frames"]) for row in csv.DictReader(file)}
