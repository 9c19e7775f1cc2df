"""Scored clips: conversion and choice."""

import numpy as np

from vadprobe.analyze.evaluation.metrics import rank, roc_auc
from vadprobe.analyze.evaluation.scored_clips import ScoredClips

CLIPS = {"scores": [0.1, 0.2, 0.3], "positives": [1, 0, 2], "negatives": [1, 1, 0], "groups": [5, 5, -2]}


def test_arrays_are_converted_chosen_and_ranked():
    clips = ScoredClips(**CLIPS)
    assert (clips.scores.dtype, clips.positives.dtype, clips.negatives.dtype) == (np.float64, np.int64, np.int64)
    assert (len(clips), clips.n_frames.tolist()) == (3, [2, 1, 2])
    some = clips.take(clips.groups == 5)
    assert (some.scores.tolist(), some.groups.tolist()) == ([0.1, 0.2], [5, 5])
    assert len(clips.take(np.zeros(3, dtype=bool))) == 0
    assert roc_auc(clips.ranking()) == roc_auc(rank(clips.scores, clips.positives, clips.negatives))
