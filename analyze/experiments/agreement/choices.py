"""Selections to compare: a job's own, those under each prompt alone, and those under the other convention."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.configuration import RANKING_RULES, AnalysisConfig
from vadprobe.analyze.detector.fitting import calibrate
from vadprobe.analyze.detector.selection_rules import choose
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, varied
from vadprobe.analyze.experiments.measuring import draws_of
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import BackboneSpec

_OTHER = {"paper": "headhunt-code", "headhunt-code": "paper"}


@dataclass(frozen=True, eq=False)
class Chosen:
    """Selections of one variation of a job, one for each calibration draw.

    `reasons` say why draws have no selection; `backbone` is None if the job has no features.
    """

    case: ExperimentJob
    label: str
    selections: tuple[Selection, ...]
    backbone: BackboneSpec | None = None
    reasons: tuple[str, ...] = ()

    @property
    def depths(self) -> np.ndarray:
        """Mean relative depth of each draw's selection, (n_draws,) in (0, 1]: layer / number of blocks."""
        blocks = 0 if self.backbone is None else self.backbone.n_layers
        return np.array([np.mean([_layer(one, index) for index in one.indices]) / blocks for one in self.selections])


def own_choice(lab: ExperimentContext, case: ExperimentJob) -> Chosen:
    """Return the job's own selections, one for each draw."""
    return _chosen(lab, case, "own", case.config)


def prompt_choices(lab: ExperimentContext, case: ExperimentJob) -> Iterator[Chosen]:
    """Yield the selections under each single prompt; none for one prompt, or a rule that ranks nothing."""
    if case.config.rule not in RANKING_RULES or len(case.prompts) < 2:
        return
    for key in case.prompts:
        alone = {"score_prompt": key} if case.config.chooses_layers else {"selection": {"prompts": (key,)}}
        yield _chosen(lab, case, f"prompt {key}", varied(case.config, **alone))


def convention_choice(lab: ExperimentContext, case: ExperimentJob) -> Chosen | None:
    """Return the selections under the other convention of the metrics; None for layers, which have only one."""
    if case.config.chooses_layers or case.config.rule not in RANKING_RULES:
        return None
    other = _OTHER[case.config.saliency.convention]
    return _chosen(lab, case, f"convention {other}", varied(case.config, saliency={"convention": other}))


def _chosen(lab: ExperimentContext, case: ExperimentJob, label: str, config: AnalysisConfig) -> Chosen:
    lab.report(f"{case.name}, {label}", "")
    selections, reasons, backbone = [], [], None
    for number, drawn in enumerate(draws_of(lab, case, config)):
        lab.report("", f"draw {number + 1}")
        try:
            inputs = case.inputs(drawn)
            backbone = inputs.store.spec.backbone
            calibration, _ = calibrate(inputs, drawn.calibration)
            selections.append(choose(inputs, drawn, calibration, lab.cache, lab.scheduler).selection)
        except VadprobeError as error:
            reasons.append(str(error))
    return Chosen(case, label, tuple(selections), backbone, tuple(reasons))


def _layer(selection: Selection, index: tuple[int, ...]) -> int:
    """Return the layer of an index; for a head, the layer that its block makes."""
    return index[0] if selection.unit == "layer" else index[0] + 1
