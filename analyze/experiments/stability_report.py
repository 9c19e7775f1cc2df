"""The stability report: how often each layer or head is chosen over draws, with all prompts and with single ones."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.fitting import calibrate
from vadprobe.analyze.detector.selection_rules import choose
from vadprobe.analyze.evaluation.evaluation import null_for_nan
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, varied
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.analyze.saliency.stability import Stability, stability
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import counted, percent

_SHOWN = 10
_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class StabilityReport:
    """Stability over draws, by the prompts that were ranked over, all or one; None if no draw has a selection.

    `reasons` say why draws are missing. Each draw has `n_videos` videos, of which two draws share `shared_videos` on
    average (NaN for a single draw).
    """

    unit: str
    n_draws: int
    n_videos: int
    shared_videos: float
    found: Mapping[str, Stability | None]
    reasons: Mapping[str, tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; unknown numbers are null."""
        over = {
            key: None if one is None else {**vars(one), "frequency": one.frequency.tolist()}
            for key, one in self.found.items()
        }
        return null_for_nan(
            {
                "unit": self.unit,
                "n_draws": self.n_draws,
                "n_videos": self.n_videos,
                "shared_videos": self.shared_videos,
                "reasons": self.reasons,
                "over": over,
            }
        )

    def lines(self) -> list[str]:
        """Format the report as lines of text."""
        draws = f"{counted(self.n_draws, 'draw')} of {counted(self.n_videos, 'calibration video')}"
        lines = [f"{draws}; how often each {self.unit} is chosen:"]
        if self.shared_videos == 1:
            lines.append(
                "  Every draw has the same videos; a smaller fraction (--fraction) says how stable a choice is."
            )
        elif not math.isnan(self.shared_videos):
            lines.append(f"  Two draws share {percent(self.shared_videos)} of their videos on average.")
        for key, one in self.found.items():
            if one is None:
                lines.append(f"  {key}: unknown: {self.reasons[key][0]}")
                continue
            shown = ", ".join(f"{_name(index)} {percent(share)}" for index, share in one.most_frequent(_SHOWN))
            lines.append(f"  {key}: {shown}")
            if one.n_selections > 1:
                lines.append(
                    f"    two draws share {percent(one.overlap)} of their choice on average; random choices would "
                    f"share {percent(one.chance_overlap, 1)}."
                )
            if self.reasons[key]:
                lines.append(f"    {counted(len(self.reasons[key]), 'draw')} without a choice: {self.reasons[key][0]}")
        return lines


def stability_report(lab: ExperimentContext, case: ExperimentJob) -> StabilityReport:
    """Select on every draw, over all prompts and over each alone.

    Raises:
        VadprobeError: if the job's rule is neither "dlsp" nor "rhi", so that it ranks nothing.
    """
    config = case.config
    if config.rule not in ("dlsp", "rhi"):
        raise VadprobeError(f"selection.rule must be 'dlsp' or 'rhi', which rank, got {config.rule!r}.")
    over = {f"prompt {key}": _alone(config, key) for key in case.prompts}
    if config.rule == "rhi":
        chosen = config.selection.prompts
        over = {"all prompts" if chosen is None else f"prompts of the job ({', '.join(chosen)})": config, **over}
    found: dict[str, Stability | None] = {}
    reasons: dict[str, tuple[str, ...]] = {}
    drawn: dict[int, frozenset[int]] = {}
    for key, variation in over.items():
        selections, faults = [], []
        for number in range(lab.draws):
            lab.report(key, f"draw {number + 1}")
            try:
                selection, drawn[number] = _chosen(lab, case, variation, number)
            except VadprobeError as error:
                faults.append(str(error))
                continue
            selections.append(selection)
        found[key] = stability(selections, _shape(case, variation)) if selections else None
        reasons[key] = tuple(faults)
    n_videos = max((len(videos) for videos in drawn.values()), default=0)
    shared = [len(a & b) / min(len(a), len(b)) for a, b in combinations(drawn.values(), 2)]
    unit = "layer" if config.rule == "dlsp" else "head"
    return StabilityReport(unit, lab.draws, n_videos, float(np.mean(shared)) if shared else _NAN, found, reasons)


def _alone(config: AnalysisConfig, prompt: str) -> AnalysisConfig:
    if config.rule == "dlsp":
        return varied(config, score_prompt=prompt)
    return varied(config, selection={"prompts": (prompt,)})


def _chosen(
    lab: ExperimentContext, case: ExperimentJob, config: AnalysisConfig, number: int
) -> tuple[Selection, frozenset[int]]:
    drawn = varied(config, calibration={"seed": config.calibration.seed + number})
    inputs = case.inputs(drawn)
    calibration, _ = calibrate(inputs, drawn.calibration)
    selection = choose(inputs, drawn, calibration, lab.cache, lab.scheduler).selection
    return selection, frozenset(calibration.groups.tolist())


def _shape(case: ExperimentJob, config: AnalysisConfig) -> tuple[int, ...]:
    backbone = case.inputs(config).store.spec.backbone
    return (backbone.n_layers + 1,) if config.rule == "dlsp" else (backbone.n_layers, backbone.n_heads)


def _name(index: tuple[int, ...]) -> str:
    return ":".join(str(part) for part in index)
