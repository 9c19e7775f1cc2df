"""The verdict never says more than the interval allows."""

from types import SimpleNamespace
from typing import Any

import pytest

from vadprobe.analyze.report.sections.numbers import results_table
from vadprobe.analyze.report.sections.verdict import verdict, warnings


def sentences(**changes: Any) -> str:
    result = {
        "auc": 0.7, "dataset": "streets", "n_frames": 100, "n_videos": 4, "intervals": {"auc": [0.6, 0.8]},
        "bootstrap": {"confidence": 0.95}, "baselines": {}, "text_output": [], **changes,
    }  # fmt: skip
    part: Any = SimpleNamespace(result=result, tables=changes.pop("tables", ()))
    return "\n".join(verdict(part))


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ([0.6, 0.8], "The whole interval lies above 0.5"),
        ([0.5, 0.8], "cannot tell the scores from guessing"),
        ([0.4, 0.5], "cannot tell the scores from guessing"),
        ([0.2, 0.4], "the scores are misleading"),
    ],
)
def test_guessing_is_judged_by_the_whole_interval(ends: list[float], words: str) -> None:
    assert words in sentences(intervals={"auc": ends})


def test_without_an_interval_nothing_is_concluded() -> None:
    found = sentences(intervals={}, baselines={"random": {"auc": 0.1}})
    assert "No interval is known" in found
    assert "above" not in found


def test_a_baseline_inside_the_interval_is_not_beaten() -> None:
    baselines = {"random": {"auc": 0.5}, "centre": {"auc": 0.6}, "video_flat": {"auc": 0.9}, "shorter": {"auc": None}}
    found = sentences(baselines=baselines)
    assert "lies above these baselines, which look at no picture: random (0.5000)." in found
    assert "contains these baselines, so no gain over them is shown: centre prior (0.6000)." in found
    assert "lies below these baselines: true video label, flat (0.9000)." in found
    assert "shorter" not in found


@pytest.mark.parametrize(
    ("theirs", "words"),
    [([0.3, 0.5], "lies above that of"), ([0.5, 0.65], "overlaps"), ([0.85, 0.9], "adds nothing here")],
)
def test_the_models_own_answer_is_compared_by_both_intervals(theirs: list[float], words: str) -> None:
    row = {"auc": sum(theirs) / 2, "intervals": {"auc": theirs}}
    found = sentences(text_output=[{"rows": {"p(yes), coarse": row, "other": None}}])
    assert words in found
    assert "chosen on test" in found


@pytest.mark.parametrize(("kind", "is_told"), [("logistic", True), ("von-mises-fisher", False)])
def test_a_comparison_speaks_of_the_papers_methods_alone(kind: str, is_told: bool) -> None:
    result = {
        "auc": 0.7, "dataset": "streets", "n_frames": 100, "n_videos": 4, "intervals": {}, "baselines": {},
        "text_output": [],
    }  # fmt: skip
    detector = SimpleNamespace(selection=SimpleNamespace(unit="layer"), probe=SimpleNamespace(kind=kind))
    tables = ({"name": "comparison", "notes": ["HiProbe-VAD adds 0.1 of AUC", "HeadHunt-VAD adds 0.2 of AUC"]},)
    part: Any = SimpleNamespace(result=result, tables=tables, detector=detector)
    found = "\n".join(verdict(part))
    assert ("HiProbe-VAD adds 0.1 of AUC (comparison)" in found) == is_told
    assert "HeadHunt-VAD" not in found


def test_an_unknown_number_is_said_to_be_unknown() -> None:
    assert "The numbers are unknown" in sentences(auc=None)


def test_a_transductive_result_is_marked_in_warning_and_table() -> None:
    numbers = dict.fromkeys(("auc", "ap_step", "pr_area_trapezoid", "auc_abnormal_only", "auc_macro"), 0.7)
    result = {
        **numbers, "dataset": "streets", "overlap": (), "transductive": ("a", "b"), "n_frames": 9, "n_videos": 2,
        "intervals": {}, "baselines": {}, "text_output": (),
    }  # fmt: skip
    detector = SimpleNamespace(provenance={"dataset": "streets"}, features=SimpleNamespace(notes=()))
    part: Any = SimpleNamespace(result=result, detector=detector)
    (warning,) = warnings([part], ["mine"])
    assert warning.startswith("mine: transductive: the fit saw the features of 2 of the reported videos")
    assert results_table([part], ["mine"]).rows[0][0] == "mine (transductive)"
    inductive: Any = SimpleNamespace(result={**result, "transductive": ()}, detector=detector)
    assert warnings([inductive], ["mine"]) == []
