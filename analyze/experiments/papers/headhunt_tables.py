"""HeadHunt-VAD's ablations (AAAI 2026), table 3, each row measured on a job's stores."""

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, chosen_by, probed_by, varied
from vadprobe.analyze.experiments.measuring import DECISION_METRICS, THRESHOLD_NOTE, measured_row
from vadprobe.analyze.experiments.papers.hiprobe_tables import fixed_sigma
from vadprobe.analyze.experiments.papers.printed import printed_rows, printed_table
from vadprobe.analyze.experiments.rows import Table
from vadprobe.store.files.text import counted

SIGMA, THRESHOLD = 1.5, 0.65
"""The paper's smoothing and threshold."""


def headhunt_config(case: ExperimentJob) -> AnalysisConfig:
    """Return the job's settings changed to HeadHunt-VAD; a job of another method gets the paper's locator."""
    if case.config.method == "headhunt":
        return varied(case.config, selection=chosen_by("rhi", case.config.selection.prompts))
    locator = {"sigmas": (SIGMA,), "threshold": THRESHOLD}
    return varied(case.config, method="headhunt", selection=chosen_by("rhi"), locator=locator, preset="headhunt")


def one_prompt(base: AnalysisConfig, key: str) -> AnalysisConfig:
    """Return settings in which one prompt alone ranks the heads and feeds the probe."""
    return varied(base, score_prompt=key, selection=chosen_by("rhi", (key,)))


def headhunt_3(lab: ExperimentContext) -> Table:
    """Measure the ablations of the heads, the prompts, the scorer and the locator."""
    case = lab.case_of("headhunt")
    base = headhunt_config(case)
    sigma = fixed_sigma(base, SIGMA)
    variants = {
        "HeadHunt-VAD (full model)": base,
        "RHI: full layer features (all attention heads of the final layer)":
            varied(base, selection=chosen_by("last-block")),
        "RHI: random-K heads": varied(base, selection=chosen_by("random-heads")),
        "RHI: single coarse prompt": one_prompt(base, "coarse"),
        "RHI: oracle (manually written, detailed) prompt": one_prompt(base, "detailed"),
        "scorer: SVM (linear kernel)": varied(base, probe=probed_by("linear-svm")),
        "scorer: MLP (2-layer)": varied(base, probe=probed_by("mlp")),
        "locator: without Gaussian smoothing": varied(base, locator={"sigmas": (0.0,)}),
        **{
            f"locator: fixed threshold {value:.2f}": varied(base, locator={"threshold": value, "sigmas": (sigma,)})
            for value in (0.25, 0.5, 0.75)
        },
    }  # fmt: skip
    rows = printed_rows("headhunt-3", lambda row: measured_row(lab, case, row.label, variants[row.label]))
    notes = (
        f"K is {base.top_heads}; RHI ranks over {counted(len(base.selection.prompts or case.prompts), 'prompt')}.",
        "A single prompt both ranks the heads and feeds the probe. The paper's oracle is a prompt that was written by "
        "hand, here the prompt 'detailed'; the prompt that is best on the test videos is a row of the table 'heads'.",
        THRESHOLD_NOTE,
    )
    return printed_table(case, "headhunt-3", rows, DECISION_METRICS, notes)
