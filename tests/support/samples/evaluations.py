"""Evaluation of made-up videos in one call."""

from dataclasses import asdict

import numpy as np

from tests.support.oracles.reference_evaluation import MadeVideo, scores_of, truth_of
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig
from vadprobe.analyze.evaluation.measuring import evaluate_scores

NO_INTERVALS = BootstrapConfig(0)
AT_THRESHOLD = ("f1", "false_alarm_rate", "auc_gated", "auc_binary", "ap_gated", "ap_binary", "event_map_mean")


def evaluate(videos, threshold=0.5, bootstrap=NO_INTERVALS):
    truth = truth_of(videos)
    return evaluate_scores(truth, scores_of(truth, videos), threshold, bootstrap)


def one_piece(name, label, intervals, *segments):
    """Return a video of segments (frames, score)."""
    stops = np.cumsum([length for length, _ in segments]).tolist()
    pieces = zip([0, *stops], stops, [score for _, score in segments], strict=False)
    return MadeVideo(name, label, None, tuple(intervals), tuple(pieces))


def assert_same(one, other):
    np.testing.assert_equal(asdict(one), asdict(other))
    assert one.caveats == other.caveats
