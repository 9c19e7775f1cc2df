"""Measuring the cells of a sweep: every draw of every cell, with the reason if it cannot be measured."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.evaluation.evaluation import Evaluation
from vadprobe.analyze.experiments.cases import ExperimentContext, varied
from vadprobe.analyze.experiments.measuring import (
    METRICS,
    THRESHOLD_METRICS,
    describe,
    draws_of,
    measure,
    summarised,
)
from vadprobe.analyze.experiments.rows import Row
from vadprobe.analyze.experiments.sweeps.axes import Cell, Plan
from vadprobe.analyze.experiments.sweeps.samplings import with_segments
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.sampling import Sampling

SWEEP_METRICS = tuple(dict.fromkeys((*METRICS, *THRESHOLD_METRICS)))
"""Metrics of every cell."""

CHOSEN_ON_TEST = (
    "Every cell is measured on the test videos. The best of several cells is therefore chosen on them and "
    "is not a result: fix a value beforehand, or choose it on validation videos."
)


@dataclass(frozen=True, eq=False)
class Draw:
    """One calibration draw of a cell: its seed, and its results or the reason why there are none.

    `layers` are the chosen layer, or the layers that the blocks of chosen heads make. `sigma` and `threshold` are those
    of the fitted locator. `n_fitted` videos were fitted on and `n_videos` measured, of which `n_positive` have an
    anomaly.
    """

    seed: int
    numbers: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SWEEP_METRICS, math.nan))
    choice: str = ""
    layers: tuple[int, ...] = ()
    sigma: float = math.nan
    threshold: float = math.nan
    n_fitted: int = 0
    n_videos: int = 0
    n_positive: int = 0
    reason: str = ""
    caveats: tuple[str, ...] = ()
    evaluation: Evaluation | None = None


@dataclass(frozen=True, eq=False)
class MeasuredCell:
    """A cell with its draws; equal calibration draws were made once."""

    cell: Cell
    draws: tuple[Draw, ...]

    @property
    def found(self) -> tuple[Draw, ...]:
        """The draws that could be measured."""
        return tuple(draw for draw in self.draws if not draw.reason)

    @property
    def row(self) -> Row:
        """Row with the mean, lowest and highest of several draws, or of a single draw with its bootstrap interval."""
        reasons = [draw.reason for draw in self.draws if draw.reason]
        if not self.found:
            return Row(self.cell.label, reason=reasons[0])
        numbers = [(draw.numbers, draw.caveats) for draw in self.found]
        return summarised(self.cell.label, numbers, self.found[0].evaluation, self.found[0].choice, reasons)


@dataclass(frozen=True, eq=False)
class Sweep:
    """A measured sweep; `notes` are what a reader must know, first the limits of the backbones' weights."""

    plan: Plan
    cells: tuple[MeasuredCell, ...]
    notes: tuple[str, ...]


def measure_sweep(lab: ExperimentContext, plan: Plan) -> Sweep:
    """Measure every cell of a plan; steps that cells share are computed once."""
    cells = tuple(MeasuredCell(cell, tuple(_draws(lab, cell))) for cell in plan.cells)
    warnings = [note for case in lab.cases for note in case.notes]
    return Sweep(plan, cells, tuple(dict.fromkeys((*warnings, CHOSEN_ON_TEST, *plan.notes))))


def _draws(lab: ExperimentContext, cell: Cell) -> Iterator[Draw]:
    lab.report(f"{cell.case.name}, {cell.label}", "")
    variation = cell.variation
    try:
        samplings = with_segments(cell.case, variation.config, variation.clip_length, variation.frames)
    except VadprobeError as error:
        yield Draw(variation.config.calibration.seed, reason=str(error))
        return
    drawn = draws_of(lab, cell.case, variation.config, samplings)
    if len(drawn) > 1:  # the interval is over draws, so no bootstrap is needed
        drawn = [varied(config, evaluation={"resamples": 0}) for config in drawn]
    for number, config in enumerate(drawn):
        lab.report("", f"draw {number + 1} of {len(drawn)}")
        yield _draw(lab, cell, config, samplings)


def _draw(lab: ExperimentContext, cell: Cell, config: AnalysisConfig, samplings: Sequence[Sampling] | None) -> Draw:
    seed = config.calibration.seed
    try:
        found = measure(lab, cell.case, config, samplings)
    except VadprobeError as error:
        return Draw(seed, reason=str(error))
    detector, evaluation = found.detector, found.result.evaluation
    return Draw(
        seed=seed,
        numbers={name: found.numbers[name] for name in SWEEP_METRICS},
        choice=describe(detector.selection),
        layers=tuple(index[0] for index in detector.selection.indices),
        sigma=detector.locator.sigma,
        threshold=detector.locator.threshold,
        n_fitted=len(detector.provenance["fitted_on"]),
        n_videos=0 if evaluation is None else evaluation.n_videos,
        n_positive=0 if evaluation is None else evaluation.n_videos_positive,
        caveats=found.caveats,
        evaluation=evaluation,
    )
