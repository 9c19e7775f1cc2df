"""HeadHunt-VAD's comparisons and ablations (AAAI 2026), each measured on a job's stores."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vadprobe.analyze.configuration import HEAD_METRICS, AnalysisConfig, ProbeConfig
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, chosen_by, varied
from vadprobe.analyze.experiments.measuring import (
    FIXED_THRESHOLDS,
    METRICS,
    THRESHOLD_METRICS,
    THRESHOLD_NOTE,
    measured_row,
    table_of,
)
from vadprobe.analyze.experiments.papers.comparison import comparison
from vadprobe.analyze.experiments.papers.cross_fitting import SIGMAS, cross_fitted_row
from vadprobe.analyze.experiments.rows import Row, Table
from vadprobe.analyze.report.published_results import HEADHUNT_ABLATIONS

SIGMA, THRESHOLD = 1.5, 0.65
"""The paper's smoothing and threshold."""

PROBES = ("linear-svm", "mlp", "distance")

_QUOTED = "Published ablations are those that a public summary of the paper quotes; '-' is what it does not quote."

_PROBE = ProbeConfig().model_dump()


def headhunt_config(case: ExperimentJob) -> AnalysisConfig:
    """Change the job's settings to HeadHunt-VAD; a job of the other method gets the paper's locator."""
    if case.config.method == "headhunt":
        return varied(case.config, selection=chosen_by("rhi", case.config.selection.prompts))
    locator = {"sigmas": (SIGMA,), "threshold": THRESHOLD}
    return varied(case.config, selection=chosen_by("rhi"), locator=locator, preset="headhunt")


def headhunt_1(lab: ExperimentContext) -> Table:
    """Compare with published methods."""
    case = lab.case_of("headhunt")
    config = headhunt_config(case)
    return comparison(lab, case, "headhunt-1", config, f"HeadHunt-VAD (RHI, {config.top_heads} heads)")


def headhunt_2(lab: ExperimentContext) -> Table:
    """Compare choices of heads, prompts and metrics, and of the probe on them."""
    case = lab.case_of("headhunt")
    base = headhunt_config(case)
    prompts = base.selection.prompts or case.prompts
    rows = [
        _row(lab, case, f"RHI over {len(prompts)} prompts", base, "full"),
        _row(lab, case, "full layer (every head of one block)",
             varied(base, selection=chosen_by("full-layer", base.selection.prompts)), None),
        _row(lab, case, "every head of every block", varied(base, selection=chosen_by("all-heads")), "full-layer"),
        _row(lab, case, f"{base.top_heads} random heads", varied(base, selection=chosen_by("random-heads")), "random"),
    ]  # fmt: skip
    singles = []
    for key in prompts:
        alone = varied(base, score_prompt=key, selection=chosen_by("rhi", (key,)))
        singles.append(_row(lab, case, f"RHI, prompt '{key}' alone", alone, f"single-{key}"))
    rows += [*singles, _oracle(singles)]
    rows += [
        _row(lab, case, f"RHI by {name.replace('_', ' ')} alone", varied(base, saliency={"metrics": (name,)}), None)
        for name in HEAD_METRICS
    ]
    code = varied(base, saliency={"convention": "headhunt-code"})
    rows.append(_row(lab, case, "RHI by the public code's constants", code, None))
    rows += [
        _row(lab, case, f"RHI, probe {kind}", varied(base, probe={**_PROBE, "kind": kind}), kind) for kind in PROBES
    ]
    notes = (
        "A prompt alone both ranks the heads and feeds the probe.",
        "The oracle prompt is the single prompt of best AUC on these test videos: it has seen them, so it is an upper "
        "bound and no result.",
        _QUOTED,
        "The paper calls its 'full layer' 100 thousand features and more, which is every head of every block.",
    )
    return table_of(case, "headhunt-2", "choice of heads, prompts and probe", rows, METRICS, notes)


def headhunt_3(lab: ExperimentContext) -> Table:
    """Compare temporal locators: grid, the paper's pair, fixed thresholds, no smoothing."""
    case = lab.case_of("headhunt")
    base = headhunt_config(case)
    validation = bool(case.truth.of_split("validation"))
    rows = []
    if validation:
        grid = {"sigmas": SIGMAS, "threshold": "grid", "split": "validation"}
        rows.append(_row(lab, case, "grid on the validation videos", varied(base, locator=grid), "full"))
    rows.append(cross_fitted_row(lab, case, "grid on the other folds of the test videos", base))
    fixed: list[tuple[str, dict[str, Any], str | None]] = [
        (f"the paper's pair ({SIGMA}, {THRESHOLD})", {"sigmas": (SIGMA,), "threshold": THRESHOLD}, None),
        *(
            (f"fixed threshold {value}", {"sigmas": (SIGMA,), "threshold": value}, f"threshold-{value}")
            for value in FIXED_THRESHOLDS
        ),
        ("no smoothing", {"sigmas": (0.0,), "threshold": THRESHOLD}, "no-smoothing"),
    ]
    rows += [_row(lab, case, label, varied(base, locator=locator), key) for label, locator, key in fixed]
    notes = (
        THRESHOLD_NOTE,
        _QUOTED,
        "Only test videos of the public sets have frame labels: the first row needs some of them held out, the second "
        "chooses for every fold of videos on the others, so that no video's own labels choose its threshold.",
    )
    return table_of(case, "headhunt-3", "temporal locator", rows, THRESHOLD_METRICS, notes)


def _row(lab: ExperimentContext, case: ExperimentJob, label: str, config: AnalysisConfig, published: str | None) -> Row:
    return measured_row(lab, case, label, config, published=dict(HEADHUNT_ABLATIONS.get(published or "", {})))


def _oracle(singles: Sequence[Row]) -> Row:
    """Pick the best of the single prompts by the AUC that is reported: it has seen the test videos, and says so."""
    values = [row.numbers["auc"].value for row in singles]
    if all(np.isnan(values)):
        return Row("oracle prompt (chosen on the test videos)", reason="no single prompt was measured")
    best = singles[int(np.nanargmax(values))]
    return replace(best, label="oracle prompt (chosen on the test videos)", choice=best.label, published={})
