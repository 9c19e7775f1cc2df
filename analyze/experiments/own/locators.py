"""Comparison of both methods' locators: grids, printed and fixed thresholds, with and without smoothing."""

from vadprobe.analyze.experiments.cases import ExperimentContext, varied
from vadprobe.analyze.experiments.measuring import THRESHOLD_METRICS, THRESHOLD_NOTE, measured_row, table_of
from vadprobe.analyze.experiments.own.cross_fitting import SIGMAS, cross_fitted_row
from vadprobe.analyze.experiments.papers.headhunt_tables import SIGMA, THRESHOLD, headhunt_config
from vadprobe.analyze.experiments.papers.hiprobe_tables import hiprobe_config, prior_note
from vadprobe.analyze.experiments.rows import Table

FIXED_THRESHOLDS = (0.3, 0.5, 0.7)
"""Fixed thresholds that are measured beside those of the papers."""


def hiprobe_locators(lab: ExperimentContext) -> Table:
    """Compare HiProbe-VAD's thresholds: adaptive and fixed, and no smoothing."""
    case = lab.case_of("hiprobe")
    base = hiprobe_config(case)
    sigma = base.locator.sigmas[0]
    variants = {
        "adaptive threshold": {"threshold": "adaptive", "sigmas": (sigma,)},
        **{f"fixed threshold {value}": {"threshold": value, "sigmas": (sigma,)} for value in FIXED_THRESHOLDS},
        "adaptive, no smoothing": {"threshold": "adaptive", "sigmas": (0.0,)},
    }
    rows = [measured_row(lab, case, label, varied(base, locator=locator)) for label, locator in variants.items()]
    notes = (THRESHOLD_NOTE, prior_note(lab, case, base))
    return table_of(case, "locators-hiprobe", "thresholds and smoothing", rows, THRESHOLD_METRICS, notes)


def headhunt_locators(lab: ExperimentContext) -> Table:
    """Compare HeadHunt-VAD's locators: grid, the paper's pair, fixed thresholds, no smoothing."""
    case = lab.case_of("headhunt")
    base = headhunt_config(case)
    rows = []
    if case.truth.of_split("validation"):
        grid = {"sigmas": SIGMAS, "threshold": "grid", "split": "validation"}
        rows.append(measured_row(lab, case, "grid on the validation videos", varied(base, locator=grid)))
    rows.append(cross_fitted_row(lab, case, "grid on the other folds of the test videos", base))
    fixed = {
        f"the paper's pair ({SIGMA}, {THRESHOLD})": {"sigmas": (SIGMA,), "threshold": THRESHOLD},
        **{f"fixed threshold {value}": {"sigmas": (SIGMA,), "threshold": value} for value in FIXED_THRESHOLDS},
        "no smoothing": {"sigmas": (0.0,), "threshold": THRESHOLD},
    }
    rows += [measured_row(lab, case, label, varied(base, locator=locator)) for label, locator in fixed.items()]
    notes = (
        THRESHOLD_NOTE,
        "In the public sets only test videos have frame labels. A grid on validation videos therefore "
        "needs some test videos held out. The cross-fitted grid chooses for each fold of videos on the "
        "other folds, so that no video's own labels choose its threshold.",
    )
    return table_of(case, "locators-headhunt", "temporal locator", rows, THRESHOLD_METRICS, notes)
