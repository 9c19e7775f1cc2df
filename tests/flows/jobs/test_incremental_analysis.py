"""An unchanged analysis computes nothing; a changed label, prompt or parameter recomputes what depends on it alone."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.planted import Planted, write_planted
from vadprobe.analyze.detector import fitting, saliency_steps
from vadprobe.analyze.detector.results import sample_shift
from vadprobe.analyze.evaluation import measuring
from vadprobe.analyze.locator import rules
from vadprobe.flows.jobs.analyze_job import AnalysisOutcome, analyze
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.datasets.dataset import write_manifest
from vadprobe.store.datasets.video import Split

EVERYTHING = {
    "hiprobe": ["layer-saliency", "probe", "scores", "scores", "evaluation"],
    "headhunt": ["head-saliency"] * 3 + ["probe", "scores", "locator-grid", "evaluation"],
}
BESIDE = {"text-output", "sample-shift"}
"""Steps of what stands beside the method."""

pytestmark = pytest.mark.usefixtures("blank")


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    planted = write_planted(tmp_path_factory.mktemp("planted"))
    for method, steps in EVERYTHING.items():
        edit(planted, method, "workers = 0", "workers = 0\ncurves = 0\nevaluation = {resamples = 20}")
        computed = run(planted, method).computed
        assert own(computed) == sorted(steps)
        # The answers are about the same segments: what the first job has measured is not measured again.
        assert set(computed) - set(steps) in (BESIDE, {"sample-shift"})
    return planted


@pytest.fixture
def copy(analyzed: Planted, tmp_path: Path) -> Planted:
    shutil.copytree(analyzed.folder, tmp_path / "copy")
    return Planted(tmp_path / "copy", analyzed.dataset)


def run(planted: Planted, method: str) -> AnalysisOutcome:
    return analyze(load_job(planted.job(method)))


def own(computed: Sequence[str]) -> list[str]:
    """Return the steps of the method itself, sorted."""
    return sorted(step for step in computed if step not in BESIDE)


def edit(planted: Planted, method: str, old: str, new: str) -> None:
    path = planted.job(method)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def relabel(planted: Planted, split: Split) -> None:
    """Make one anomalous video of a split normal."""
    dataset = planted.dataset
    name = next(video.video_id for video in dataset.of_split(split) if video.label == 1)
    videos = [replace(v, label=0, category=None) if v.video_id == name else v for v in dataset.videos]
    intervals = tuple(interval for interval in dataset.intervals if interval.video_id != name)
    write_manifest(replace(dataset, videos=tuple(videos), intervals=intervals), planted.folder / "manifest")


@pytest.mark.parametrize("method", EVERYTHING)
def test_a_second_run_does_no_numeric_work(copy: Planted, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("numeric work")

    results = copy.folder / f"out-{method}"
    before = {name: (results / name).read_bytes() for name in ("results.json", "detector.json", "scores.parquet")}
    for module, name in (
        (saliency_steps, "head_metrics"),
        (saliency_steps, "layer_metrics"),
        (fitting, "fit_probe"),
        (rules, "frame_f1_grid"),
        (measuring, "roc_auc_of_groups"),
        (measuring, "bootstrap_videos"),
        (sample_shift, "probe_units"),
    ):
        monkeypatch.setattr(module, name, refuse)
    outcome = run(copy, method)
    assert outcome.computed == ()
    assert outcome.steps().startswith("Nothing had to be computed: ")
    assert {name: (results / name).read_bytes() for name in before} == before


OF_HEADS = ["probe", "scores", "locator-grid", "evaluation"]


@pytest.mark.parametrize(
    ("method", "old", "new", "steps", "beside"),
    [
        ("headhunt", 'preset = "headhunt"', 'preset = "mine"', [], set()),
        ("headhunt", "workers = 0", "workers = 1\nscheduler = 'threads'", [], set()),
        (
            "headhunt",
            "top_heads = 1",
            "top_heads = 2",
            ["probe", "scores", "locator-grid", "evaluation"],
            {"sample-shift"},
        ),
        ("headhunt", "top_heads = 1", "top_heads = 1\nseed = 1", ["head-saliency"] * 3, set()),
        ("headhunt", "sigmas = [0.0, 1.0]", "sigmas = [0.0, 2.0]", ["locator-grid"], set()),
        ("headhunt", "resamples = 20", "resamples = 20, seed = 1", ["evaluation"], BESIDE),
        ("headhunt", "top_heads = 1", "top_heads = 1\ninstability_weight = 0.4", [], set()),
        ("hiprobe", "sigmas = [0.4]", "sigmas = [0.8]", ["evaluation"], {"text-output"}),
        ("hiprobe", '"adaptive"', "0.5", ["evaluation"], set()),
        ("hiprobe", '"adaptive"', '"adaptive", kappa = 0.3', ["evaluation"], set()),
        ("hiprobe", '"adaptive"', '"adaptive", edge = "zero"', ["evaluation"], {"text-output"}),
        ("hiprobe", '"adaptive"', '"adaptive", adaptive_samples = "anomalous"', ["evaluation"], set()),
        ("hiprobe", "top_heads = 1", "saliency = {entropy_bins = 16}", ["layer-saliency"], set()),
        ("headhunt", "top_heads = 1", "top_heads = 1\nsaliency = {mmd = 'square'}", ["head-saliency"] * 3, set()),
        ("headhunt", '"grid"', '"grid", thresholds = [0.5]', ["locator-grid"], set()),
        ("hiprobe", "top_heads = 1", "probe = {scaling = 'none'}", ["probe", "scores", "scores", "evaluation"], set()),
        ("hiprobe", "top_heads = 1", "probe = {fraction = 0.6}", ["probe", "scores", "scores", "evaluation"], set()),
        ("hiprobe", "top_heads = 1", "probe = {c = 0.5}", ["probe", "scores", "scores", "evaluation"], set()),
        ("hiprobe", "fraction = 1.0", "fraction = 0.5", EVERYTHING["hiprobe"], {"sample-shift"}),
    ],
)
def test_a_changed_parameter_recomputes_what_depends_on_it(
    copy: Planted, method: str, old: str, new: str, steps: list[str], beside: set[str]
) -> None:
    edit(copy, method, old, new)
    every = run(copy, method).computed
    computed = own(every)
    assert set(every) & BESIDE - {"text-output"} == beside - {"text-output"}
    if steps != ["locator-grid"]:  # another sigma smooths the answers anew
        assert set(every) & BESIDE == beside
    # A grid that chooses the pair it had chosen before leaves the evaluation as it was.
    assert computed in (sorted(steps), sorted([*steps, "evaluation"]) if steps == ["locator-grid"] else sorted(steps))
    assert run(copy, method).computed == ()


@pytest.mark.parametrize(
    ("split", "method", "steps"),
    [
        ("test", "headhunt", {"evaluation", "text-output"}),
        ("test", "hiprobe", {"evaluation", "text-output"}),
        ("validation", "headhunt", {"locator-grid", "evaluation"}),
        ("validation", "hiprobe", set()),
        ("train", "hiprobe", set(EVERYTHING["hiprobe"])),
        ("train", "headhunt", set(EVERYTHING["headhunt"])),
    ],
)
def test_a_changed_label_recomputes_what_depends_on_it(
    copy: Planted, split: Split, method: str, steps: set[str]
) -> None:
    relabel(copy, split)
    computed = set(run(copy, method).computed)
    if split == "validation":  # the grid may choose as before, or another sigma, which smooths the answers anew
        computed -= {"text-output"}
    assert computed in (steps, steps - {"evaluation"} if split == "validation" else steps)
    assert run(copy, method).computed == ()


def replaced(planted: Planted, other: Planted, keep: Callable[[Path], bool]) -> None:
    """Take the stores of another workspace in place of ours, where `keep` is False."""
    for path in (other.folder / "features").rglob("*"):
        if path.is_file() and not keep(path.relative_to(other.folder)):
            shutil.copy(path, planted.folder / path.relative_to(other.folder))


def test_features_of_another_prompt_recompute_that_prompt_alone(copy: Planted, tmp_path: Path) -> None:
    other = write_planted(tmp_path / "other", seed=9)
    replaced(copy, other, lambda path: not any("question." in part for part in path.parts))
    for method, steps in (("headhunt", {"head-saliency"}), ("hiprobe", set())):
        assert set(run(copy, method).computed) == steps | {"text-output"}
    replaced(copy, other, lambda path: not any("coarse." in part for part in path.parts))
    computed = run(copy, "headhunt").computed
    assert own(computed) == sorted(["head-saliency", "probe", "scores", "locator-grid", "evaluation"])
    assert set(computed) >= BESIDE


@pytest.mark.slow
def test_features_of_the_scored_segments_alone_leave_the_fit_as_it_was(copy: Planted, tmp_path: Path) -> None:
    other = write_planted(tmp_path / "other", seed=9)
    replaced(copy, other, lambda path: "segment-24-8" not in path.parts)
    computed = run(copy, "headhunt").computed
    assert own(computed) == sorted(["scores", "locator-grid", "evaluation"])
    assert set(computed) >= BESIDE
