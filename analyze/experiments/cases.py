"""A job as an experiment uses it: its settings, ground truth and stores, with variations of its settings."""

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
    """One job: `name` for messages, and the arguments of `inputs.open_inputs`.

    `texts` is the file of the texts that the backbone generated; None if there is none.
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
        """Sentences that limit what numbers of the backbones may claim, of all stores that were opened so far."""
        return tuple(dict.fromkeys(note for store in self._opened.values() for note in store.spec.notes))

    def inputs(self, config: AnalysisConfig, samplings: Sequence[Sampling] | None = None) -> AnalysisInputs:
        """Open the inputs of a variation of the job; every store is opened only once.

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
    """The jobs of a run of tables, its cache of steps, its scheduler and its number of draws.

    Every row is measured on `draws` calibration draws. `report` is called with the table (or another experiment) and
    the row, for progress.
    """

    cases: tuple[ExperimentJob, ...]
    cache: StepCache
    scheduler: Scheduler
    draws: int = 5
    report: Callable[[str, str], None] = lambda what, label: None

    def case_of(self, method: str) -> ExperimentJob:
        """Return the first job of a method; if there is none, the first job, changed to that method."""
        return next((case for case in self.cases if case.config.method == method), self.cases[0])

    def on_set(self, method: str, prefix: str) -> ExperimentJob:
        """Return the job of a method on a dataset whose name begins with `prefix`, else `case_of` the method."""
        found = [case for case in self.cases if case.truth.name.lower().startswith(prefix)]
        return preferred(found, method) or self.case_of(method)

    def others(self, case: ExperimentJob) -> tuple[ExperimentJob, ...]:
        """Return every other job."""
        return tuple(other for other in self.cases if other is not case)


def preferred(cases: Sequence[ExperimentJob], method: str) -> ExperimentJob | None:
    """Return the first job of a method, else the first job; None without jobs."""
    return next((case for case in cases if case.config.method == method), next(iter(cases), None))


def varied(config: AnalysisConfig, **changes: Any) -> AnalysisConfig:
    """Change some of a job's settings, and validate them anew.

    A dictionary changes single keys of a section. A rule of another method changes the method too. Then all settings
    that belong to the old method, its default probe included, become the defaults of the new one.
    """
    # A variation spells out every key, so it has all keys that a convention has set.
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
        kept = ("permutations", "folds")  # all other keys belong to the metrics of the old method
        values["saliency"] = {name: values["saliency"][name] for name in kept}
        values["selection"] = {**values["selection"], "prompts": None}
        if rule is None:
            values["selection"] = {"rule": None}
        brought = METHODS[config.method].get("probe", {})
        if brought and "probe" not in changes and config.probe.kind == brought["kind"]:
            values["probe"] = {}
    return AnalysisConfig.model_validate(values)


def probed_by(kind: ProbeKind) -> dict[str, Any]:
    """Return the changes for `varied` that use a probe of a kind, with defaults for its other settings."""
    return {**ProbeConfig().model_dump(), "kind": kind}


def chosen_by(rule: str, prompts: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the changes for `varied` that select by a rule, over the given prompts or all prompts of the job."""
    return {"rule": rule, "layer": None, "heads": (), "prompts": prompts}
