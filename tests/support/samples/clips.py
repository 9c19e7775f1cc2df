"""Random scored clips of videos with ties, unknown scores and folds, and grids that hit scores exactly."""

import math

import numpy as np
from hypothesis import strategies as st

from vadprobe.analyze.evaluation.scored_clips import ScoredClips

SIGMAS = st.sampled_from([0.0, 0.1, 0.4, 1.0, 1.5, 3.0, 7.3])


def joined(videos):
    """Return scores and video codes of a list of videos; codes do not rise with position."""
    groups = np.concatenate([np.full(len(video), 97 - 5 * code) for code, video in enumerate(videos)])
    return np.concatenate(videos), groups


def random_case(generator):
    """Return (clips, sigmas, thresholds): videos with tied scores, and thresholds that equal some scores."""
    lengths = generator.integers(1, 6, size=generator.integers(1, 4))
    groups = np.repeat(generator.permutation(len(lengths)), lengths)
    n = len(groups)
    scores = generator.choice([generator.integers(0, 5, n) / 4, generator.random(n)])
    positives = generator.integers(0, 4, n)
    positives[0] += 1
    negatives = generator.integers(0, 4, n)
    negatives[-1] += 1
    sigmas = [float(s) for s in generator.choice([0.0, 0.3, 0.4, 1.0, 1.5, 2.5], size=3)]
    thresholds = [float(t) for t in generator.choice(np.linspace(0, 1, 9), size=6)]
    return ScoredClips(scores, positives, negatives, groups), sigmas, thresholds


def folded_case(seed, n_videos=7):
    """Return (clips, sigmas, thresholds, folds): a few clips, each with both classes; three folds, codes with gaps."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(generator.permutation(n_videos), generator.integers(2, 6, size=n_videos))
    n = len(groups)
    scores = generator.choice([generator.integers(0, 5, n) / 4, generator.random(n)])
    scores[generator.random(n) < 0.1] = math.nan
    scores[np.flatnonzero(np.diff(groups, prepend=-1))] = 0.5  # at least one known clip in each video
    positives, negatives = generator.integers(1, 4, (2, n))
    folds = np.array([2, 5, 40])[groups % 3]
    sigmas = [float(s) for s in generator.choice([0.0, 0.4, 1.0, 1.5], size=3)]
    thresholds = [float(t) for t in generator.choice(np.linspace(0, 1, 9), size=5)]
    return ScoredClips(scores, positives, negatives, groups), sigmas, thresholds, folds
