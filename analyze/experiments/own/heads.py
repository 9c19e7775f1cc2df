"""Comparison of selections of heads, prompts, metrics and probes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vadprobe.analyze.configuration import HEAD_METRICS
from vadprobe.analyze.experiments.cases import ExperimentContext, chosen_by, probed_by, varied
from vadprobe.analyze.experiments.measuring import METRICS, measured_row, table_of
from vadprobe.analyze.experiments.papers.headhunt_tables import headhunt_config, one_prompt
from vadprobe.analyze.experiments.rows import Row, Table
from vadprobe.analyze.probes.terms import ProbeKind
from vadprobe.store.files.text import counted

PROBES: tuple[ProbeKind, ...] = ("linear-svm", "mlp", "distance")

_BEST = "best prompt (chosen on the test videos)"


def heads(lab: ExperimentContext) -> Table:
    """Compare selections of heads, prompts and metrics, and the probe on them."""
    case = lab.case_of("headhunt")
    base = headhunt_config(case)
    prompts = base.selection.prompts or case.prompts
    full_layer = chosen_by("full-layer", base.selection.prompts)
    chosen = {
        f"RHI over {counted(len(prompts), 'prompt')}": base,
        "every head of the last block": varied(base, selection=chosen_by("last-block")),
        "every head of RHI's best block": varied(base, selection=full_layer),
        "every head of every block": varied(base, selection=chosen_by("all-heads")),
        f"{base.top_heads} random heads": varied(base, selection=chosen_by("random-heads")),
    }
    alone = {f"RHI, prompt '{key}' alone": one_prompt(base, key) for key in prompts}
    others = {
        **{
            f"RHI by {name.replace('_', ' ')} alone": varied(base, saliency={"metrics": (name,)})
            for name in HEAD_METRICS
        },
        "RHI by the public code's constants": varied(base, saliency={"convention": "headhunt-code"}),
        **{f"RHI, probe {kind}": varied(base, probe=probed_by(kind)) for kind in PROBES},
    }
    first, singles, last = (
        [measured_row(lab, case, label, config) for label, config in part.items()] for part in (chosen, alone, others)
    )
    notes = (
        "In a row of a single prompt, that prompt both ranks the heads and feeds the probe.",
        "The best prompt is the single prompt with the best AUC on these test videos: it was chosen on "
        "them, so it is an upper bound and not a result.",
        "HeadHunt-VAD's 'full layer features' are every head of the last block; the 100 thousand features that its "
        "figure 4 compares with are every head of every block.",
    )
    rows = [*first, *singles, _best(singles), *last]
    return table_of(case, "heads", "choice of heads, prompts and probe", rows, METRICS, notes)


def _best(singles: Sequence[Row]) -> Row:
    """Return the row of the best single prompt by its reported AUC, with a caveat that test videos chose it."""
    values = [row.numbers["auc"].value for row in singles]
    if all(np.isnan(values)):
        return Row(_BEST, reason="no single prompt was measured")
    best = singles[int(np.nanargmax(values))]
    return replace(best, label=_BEST, choice=best.label)
