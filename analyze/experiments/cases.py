"""A job as the tables see it: its settings, its truth, and where its stores are, to be varied row by row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vadprobe.analyze.compute.scheduling import Scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.configuration import METHODS, RANKING_RULES, AnalysisConfig, ProbeConfig
from vadprobe.analyze.features.inputs import AnalysisInputs, open_inputs
from vadprobe.analyze.probes.terms import ProbeKind
from vadprobe.analyze.saliency.rules import RULES
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.probed_videos import VideoFacts
from vadprobe.store.files.location import StorePath
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.reading.feature_store import FeatureStore


@dataclass(frozen=True, eq=False)
class ExperimentJob:
    """One job: `name` for messages, the rest as `inputs.open_inputs` takes it.

    `texts` is where the texts that the backbone generates are kept, if there are any.
    """

    name: str
    config: AnalysisConfig
    truth: Dataset
    probed: tuple[VideoFacts, ...]
    layout: DatasetLayout
    samplings: tuple[Sampling, ...]
    backbone: str
    prompts: tuple[str, ...]
    texts: Path | None = None
    _opened: dict[StorePath, FeatureStore] = field(default_factory=dict, repr=False)

    @property
    def score_prompt(self) -> str:
        """Key of the prompt that feeds the probe."""
        return self.config.score_prompt or self.prompts[0]

    @property
    def segment(self) -> Sampling:
        """The sampling whose clips are scored."""
        return next(sampling for sampling in self.samplings if sampling.unit == "segment")

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what the backbone's weights allow to be said, of the stores opened so far."""
        return tuple(dict.fromkeys(note for store in self._opened.values() for note in store.spec.notes))

    def inputs(self, config: AnalysisConfig, samplings: Sequence[Sampling] | None = None) -> AnalysisInputs:
        """Open what a variation of the job needs; every store is opened once.

        Raises:
            VadprobeError: if a store is missing or unfinished, or the variation does not fit the job.
        """
        return open_inputs(
            config,
            self.truth,
            self.probed,
            self.layout,
            samplings or self.samplings,
            self.backbone,
            self.prompts,
            self._open,
        )

    def _open(self, path: StorePath) -> FeatureStore:
        if path not in self._opened:
            self._opened[path] = FeatureStore.open(path)
        return self._opened[path]


@dataclass(frozen=True, eq=False)
class ExperimentContext:
    """The jobs of a run of tables, the results kept so far, where to compute, and how many draws.

    `draws` calibration draws are made for every row; `report` is told the table (or what else is measured) and
    the row, for progress.
    """

    cases: tuple[ExperimentJob, ...]
    cache: StepCache
    scheduler: Scheduler
    draws: int = 5
    report: Callable[[str, str], None] = lambda what, label: None

    def case_of(self, method: str) -> ExperimentJob:
        """Return the first job of a method, or the first of all, put to that method with its own settings."""
        return next((case for case in self.cases if case.config.method == method), self.cases[0])

    def on_set(self, method: str, prefix: str) -> ExperimentJob:
        """Return the job of a method on a set whose name begins so, else `case_of` the method."""
        found = [case for case in self.cases if case.truth.name.lower().startswith(prefix)]
        return preferred(found, method) or self.case_of(method)

    def others(self, case: ExperimentJob) -> tuple[ExperimentJob, ...]:
        """Return every other job."""
        return tuple(other for other in self.cases if other is not case)


def preferred(cases: Sequence[ExperimentJob], method: str) -> ExperimentJob | None:
    """Return the first of some jobs that is of a method, else the first; None without any."""
    return next((case for case in cases if case.config.method == method), next(iter(cases), None))


def varied(config: AnalysisConfig, **changes: Any) -> AnalysisConfig:
    """Change some of a job's settings, and validate them anew.

    A dictionary changes single keys of a section. A rule of the other method changes the method with it. With another
    method, what belongs to the old one goes back to the new one's default, a probe that the old one brought among it.
    """
    # A variation spells out every key, so what a convention has set is in them.
    values = config.model_dump() | {"convention": "paper"}
    for name, change in changes.items():
        values[name] = {**values[name], **change} if isinstance(change, dict) else change
    rule = values["selection"]["rule"]
    if rule is not None and rule not in RANKING_RULES:
        values["saliency"] = {**values["saliency"], "permutations": 0, "folds": 0}
    if rule is not None:
        unit = RULES[rule].unit
        if METHODS[values["method"]]["unit"] != unit:
            values["method"] = "hiprobe" if unit == "layer" else "headhunt"
    if values["method"] != config.method:
        kept = ("permutations", "folds")  # all else is of the other method's metrics
        values["saliency"] = {name: values["saliency"][name] for name in kept}
        values["selection"] = {**values["selection"], "prompts": None}
        if rule is None:
            values["selection"] = {"rule": None}
        brought = METHODS[config.method].get("probe", {})
        if brought and "probe" not in changes and config.probe.kind == brought["kind"]:
            values["probe"] = {}
    return AnalysisConfig.model_validate(values)


def probed_by(kind: ProbeKind) -> dict[str, Any]:
    """Return the changes that fit a probe of a kind, with defaults for all else."""
    return {**ProbeConfig().model_dump(), "kind": kind}


def chosen_by(rule: str, prompts: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the changes that let a rule choose, over some prompts or all of the job."""
    return {"rule": rule, "layer": None, "heads": (), "prompts": prompts}
