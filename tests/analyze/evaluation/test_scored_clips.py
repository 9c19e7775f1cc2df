"""Scored clips: conversion, choice, and refusals."""

import numpy as np
import pytest

from vadprobe.analyze.evaluation.metrics import rank, roc_auc
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.store.errors import VadprobeError

CLIPS = {"scores": [0.1, 0.2, 0.3], "positives": [1, 0, 2], "negatives": [1, 1, 0], "groups": [5, 5, -2]}


def test_arrays_are_converted_chosen_and_ranked():
    clips = ScoredClips(**CLIPS)
    assert (clips.scores.dtype, clips.positives.dtype, clips.negatives.dtype) == (np.float64, np.int64, np.int64)
    assert (len(clips), clips.n_frames.tolist()) == (3, [2, 1, 2])
    some = clips.take(clips.groups == 5)
    assert (some.scores.tolist(), some.groups.tolist()) == ([0.1, 0.2], [5, 5])
    assert len(clips.take(np.zeros(3, dtype=bool))) == 0
    assert roc_auc(clips.ranking()) == roc_auc(rank(clips.scores, clips.positives, clips.negatives))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"positives": [1, -1, 0]}, "positives has 1 negative frame counts"),
        ({"negatives": [1.0, 1.0, 1.0]}, "negatives must be integer frame counts, got the dtype float64"),
        ({"positives": [1, 1]}, r"got the shapes \(3,\), \(2,\), \(3,\), \(3,\)"),
        ({"groups": [1]}, "must have one number per clip each"),
        ({"scores": 0.1}, "must have one number per clip each"),
        ({"groups": [0.0, 1.0, 1.0]}, "groups must be integer video codes, got the dtype float64"),
    ],
)
def test_clips_that_do_not_fit_together_are_refused(change, words):
    with pytest.raises(VadprobeError, match=words):
        ScoredClips(**CLIPS | change)
