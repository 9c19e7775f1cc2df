"""The value of an evaluation: reasons of unknown numbers, caveats, and the JSON form."""

import json
import math
from dataclasses import asdict, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.oracles.reference_evaluation import SOME_UNKNOWN, made_videos
from tests.support.profiles import laws
from tests.support.samples.evaluations import AT_THRESHOLD, evaluate, one_piece
from vadprobe.analyze.evaluation.evaluation import INTERVAL_METRICS, BootstrapConfig, Evaluation, null_for_nan

LAW = laws(80)
UNKNOWN = made_videos(SOME_UNKNOWN)


@LAW
@given(UNKNOWN, st.sampled_from((math.nan, -1.0, 0.3, 0.5)))
def test_every_unknown_number_has_a_reason(videos, threshold):
    found = evaluate(videos, threshold)
    names = [field.name for field in fields(Evaluation) if field.type in ("float", float) and field.name != "threshold"]
    assert set(AT_THRESHOLD) < set(names)
    unknown = [name for name in names if math.isnan(getattr(found, name))]
    reasons = " ".join(found.caveats)
    assert ("defined" in reasons) == bool(unknown)
    words = {
        "auc_macro": "macro AUC",
        "auc_abnormal_only": "abnormal",
        "video_auc": "video AUC",
        "false_alarm_rate": "false alarm",
        "event_map_mean": "event",
    }
    for name in unknown:
        assert words.get(name, "") in reasons or "no ranking metric" in reasons or "no number" in reasons, name


@LAW
@given(UNKNOWN, st.sampled_from((math.nan, 0.5)), st.integers(0, 3))
def test_the_json_form_has_null_for_every_unknown_number_and_keeps_the_others(videos, threshold, n_resamples):
    found = evaluate(videos, threshold, BootstrapConfig(n_resamples))
    text = json.dumps(found.to_json(), allow_nan=False)
    assert list(json.loads(text)) == [field.name for field in fields(Evaluation)]

    def nan_for_null(value):
        if isinstance(value, dict):
            return {name: nan_for_null(part) for name, part in value.items()}
        return (
            [nan_for_null(part) for part in value] if isinstance(value, list) else math.nan if value is None else value
        )

    wanted = asdict(found)
    wanted["intervals"] = {name: list(ends) for name, ends in wanted["intervals"].items()}
    np.testing.assert_equal(nan_for_null(json.loads(text)), wanted)


@pytest.mark.parametrize(
    ("videos", "unknown", "reasons"),
    [
        (
            [one_piece("a", 0, [], (8, 0.5), (3, 0.9))],
            [
                *INTERVAL_METRICS,
                "video_auc",
                "f1",
                "auc_gated",
                "auc_binary",
                "ap_gated",
                "ap_binary",
                "event_map_mean",
            ],
            ["All 11 known frames are normal", "no true event"],
        ),
        (
            [one_piece("a", 1, [(0, 99)], (8, 0.5), (3, 0.9))],
            [
                *INTERVAL_METRICS,
                "video_auc",
                "f1",
                "auc_gated",
                "auc_binary",
                "ap_gated",
                "ap_binary",
                "false_alarm_rate",
            ],
            ["All 11 known frames are anomalous", "No normal video"],
        ),
        (
            [one_piece("a", 1, [(0, 2)], (8, math.nan))],
            [*INTERVAL_METRICS, "video_auc", *AT_THRESHOLD],
            ["No frame has a known score"],
        ),
        (
            [one_piece("a", 1, [(0, 9)], (9, 0.9)), one_piece("b", 0, [], (9, 0.1))],
            ["auc_macro", "auc_abnormal_only"],
            ["No video has frames of both classes", "abnormal videos are anomalous"],
        ),
        (
            [one_piece("a", 1, [(0, 2)], (9, 0.9))],
            ["video_auc", "false_alarm_rate"],
            ["the video AUC is not defined", "the false alarm rate is not defined"],
        ),
    ],
)
def test_one_class_is_nan_with_a_reason(videos, unknown, reasons):
    found = evaluate(videos, bootstrap=BootstrapConfig(5))
    for reason in reasons:
        assert any(reason in caveat for caveat in found.caveats), found.caveats
    assert np.isnan([getattr(found, name) for name in unknown]).all()
    for name, ends in found.intervals.items():
        assert np.isnan(ends).all() == math.isnan(getattr(found, name))


def test_a_missing_threshold_is_a_caveat():
    videos = [one_piece("a", 1, [(0, 2)], (2, 0.9), (7, 0.1)), one_piece("b", 0, [], (9, 0.1))]
    assert evaluate(videos).caveats == ()
    assert any("No threshold" in caveat for caveat in evaluate(videos, math.nan).caveats)


def test_undefined_resamples_are_a_caveat():
    videos = [one_piece("a", 1, [(0, 2)], (2, 0.9), (7, 0.1)), one_piece("b", 0, [], (9, 0.1))]
    found = evaluate(videos, bootstrap=BootstrapConfig(100))
    count = found.undefined["auc"]
    assert 10 < count < 40  # a quarter draws the normal video twice
    assert f"{count} of 100 resamples leave auc undefined." in found.caveats


def test_scores_that_are_flat_in_every_video_are_told_that_they_localise_nothing():
    videos = [one_piece("a", 1, [(0, 2)], (9, 0.9)), one_piece("b", 0, [], (9, 0.1))]
    found = evaluate(videos)
    assert found.auc_macro == 0.5
    assert any("does not beat the baseline" in caveat and "0.5000" in caveat for caveat in found.caveats)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (math.nan, None),
        (math.inf, None),
        (np.float64("nan"), None),
        (0.5, 0.5),
        (0, 0),
        (True, True),
        ("nan", "nan"),
        (None, None),
        ({"a": (1.0, math.nan), "b": [{"c": -math.inf}]}, {"a": [1.0, None], "b": [{"c": None}]}),
        ((), []),
    ],
)
def test_null_for_nan(value, wanted):
    assert null_for_nan({"value": value}) == {"value": wanted}
