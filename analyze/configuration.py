"""The section `[analysis]` of a job file: the settings of stage 2, each with what the papers say about it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from vadprobe.analyze.calibration.settings import CalibrationConfig
from vadprobe.analyze.compute.settings import ClusterConfig
from vadprobe.analyze.locator.settings import CODE_GRID, CODE_LOCATOR, LOCATORS, LocatorConfig
from vadprobe.analyze.probes.settings import CODE_PROBE, ProbeConfig
from vadprobe.analyze.probes.terms import Convention
from vadprobe.analyze.saliency.rules import RULES
from vadprobe.analyze.saliency.settings import (
    HEAD_METRICS,
    LAYER_METRICS,
    RANKING_RULES,
    Rule,
    SaliencyConfig,
    SelectionConfig,
)
from vadprobe.store.format.prompts import LAST_PROMPT, Position
from vadprobe.store.settings import OpenReading, Section

__all__ = [
    "CODE_SETTINGS",
    "HEAD_METRICS",
    "LAYER_METRICS",
    "METHODS",
    "RANKING_RULES",
    "AnalysisConfig",
    "CalibrationConfig",
    "EvaluationConfig",
    "LocatorConfig",
    "ProbeConfig",
    "Rule",
    "SaliencyConfig",
    "SelectionConfig",
]

_SCORE_PROMPT = OpenReading("prompt of the probe", "not said", "any of the job")
_WHOLE = OpenReading(
    "the public code of HeadHunt-VAD", "equations 3 to 12", "everything that the public code does, at once"
)


METHODS: Mapping[str, Mapping[str, Any]] = {
    "hiprobe": {"unit": "layer", "rule": "dlsp", "probe": {}},
    "headhunt": {"unit": "head", "rule": "rhi", "probe": {}},
    "spherevad": {
        "unit": "layer",
        "rule": "middle-layer",
        "probe": {"kind": "von-mises-fisher", "scaling": "none"},
    },
}
"""By method: whether it chooses a layer or heads, its default rule, and its defaults for `[analysis.probe]`."""


CODE_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "saliency": {"convention": "headhunt-code"},
    "probe": CODE_PROBE,
    "locator": CODE_LOCATOR,
}
"""Settings of the convention "headhunt-code", by section."""


class EvaluationConfig(Section):
    """Section `[analysis.evaluation]`: intervals of the reported numbers by a bootstrap over videos."""

    resamples: int = Field(default=1000, ge=0, description="resamples of the videos for the intervals; 0: no intervals")
    seed: int = Field(default=0, ge=0, description="seed of the resamples")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="confidence of the intervals")


class AnalysisConfig(Section):
    """Section `[analysis]`: one method on stored features.

    `convention` "headhunt-code" sets all keys as in the public code of HeadHunt-VAD: the constants of the four metrics;
    liblinear on 60 % of the calibration samples, unscaled and drawn with its seed; smoothing of 3 sigmas, with zeros
    beyond the ends; and, with locator.threshold = "grid", its grid. If a job gives a key that the convention sets, it
    must have the convention's value. To mix readings, leave the convention out and give the keys.

    Two samples in a class, and a covariance without an inverse, are computed as in that code. Results may differ from
    it for scatters with eigenvalues above 1e9, unknown metrics and ties (`saliency/kernels/reference_code.py`). In
    videos shorter than its smoothing that code uses a narrower one; here the smoothing is the same in all videos.
    """

    preset: str = Field(description="name of the result: 'hiprobe', 'headhunt', or your own")
    method: Literal["hiprobe", "headhunt", "spherevad"] = Field(
        description="'hiprobe' probes one layer, 'headhunt' a few heads; 'spherevad' scores one layer by angles"
    )
    out: str = Field(
        description="folder of the results; {dataset}, {backbone} and {method} in it stand for the job's own names"
    )
    detector: str | None = Field(
        default=None,
        description="a detector.json fitted elsewhere; then nothing is fitted here, videos are only scored",
    )
    convention: Annotated[Convention, _WHOLE] = Field(
        default="paper", description="'headhunt-code' sets all keys of that code at once; 'paper' sets none"
    )
    position: Position = Field(
        default=LAST_PROMPT,
        description="tokens whose features are read; prompts of the job without this position are left out",
    )
    score_prompt: Annotated[str | None, _SCORE_PROMPT] = Field(
        default=None, description="the prompt that feeds the probe; by default the first"
    )
    top_heads: int = Field(default=5, ge=1, description="HeadHunt: K, the number of heads that are chosen")
    instability_weight: float = Field(
        default=0.5, ge=0, description="HeadHunt: lambda, the weight of a head's instability over the prompts"
    )
    seed: int = Field(default=0, ge=0, description="seed of the two-means clustering, of permutations and folds")
    calibration: CalibrationConfig = CalibrationConfig()
    saliency: SaliencyConfig = SaliencyConfig()
    selection: SelectionConfig = SelectionConfig()
    probe: ProbeConfig = ProbeConfig()
    locator: LocatorConfig = LocatorConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    allow_overlap: bool = Field(
        default=False,
        description="report on videos that something was fitted or tuned on, as papers do; the result is stamped",
    )
    allow_transductive: bool = Field(
        default=False,
        description="let probe.statistics = 'test' see the rows of the reported videos, without their labels; the "
        "result is stamped",
    )
    steps: str = Field(
        default="steps",
        description="folder that keeps the results of steps by their digest; jobs of one workspace share it",
    )
    scheduler: str = Field(
        default="processes",
        description="'processes', 'threads', the address of a running Dask cluster, tcp://host:port, or 'cluster' for "
        "one that is started as [analysis.cluster] says",
    )
    workers: int = Field(default=2, ge=0, description="Dask workers of one thread each; 0 computes in this process")
    cluster: ClusterConfig | None = Field(default=None, description="with scheduler 'cluster'")
    performance_report: bool = Field(
        default=False, description="keep Dask's own report of the computation beside the result, performance.html"
    )
    curves: int = Field(default=6, ge=0, description="videos drawn in the report")

    @property
    def rule(self) -> Rule:
        """The rule of selection; the method's default if the job names none."""
        return self.selection.rule or str(METHODS[self.method]["rule"])

    @property
    def chooses_layers(self) -> bool:
        """True if the rule chooses a layer, False if heads."""
        return RULES[self.rule].unit == "layer"

    @field_validator("out", "steps", "detector")
    @classmethod
    def _folder(cls, value: str | None) -> str | None:
        """Refuse a URL, which would be used as the name of a folder."""
        if value is not None and "://" in value:
            raise ValueError(
                f"must be a path on this machine's file systems, got {value!r}: results are not written to buckets, "
                "only features are; copy them there afterwards"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _follow_method_and_convention(cls, values: Any) -> Any:
        """Fill in keys that the job leaves out: the method's locator and probe, and the settings of the convention."""
        if not isinstance(values, dict):
            return values
        method = str(values.get("method", ""))
        settings = {"locator": dict(LOCATORS.get(method, {})), "probe": _probe_of(method, _given(values, "probe"))}
        if values.get("convention") == "headhunt-code":
            settings = {name: {**settings.get(name, {}), **found} for name, found in _settings_of_code(values).items()}
        sections = {
            name: {**found, **_given(values, name)}
            for name, found in settings.items()
            if isinstance(values.get(name, {}), dict | Section)
        }
        return {**values, **sections}

    @model_validator(mode="after")
    def _parts_fit(self) -> "AnalysisConfig":
        layers = self.chooses_layers
        known = LAYER_METRICS if layers else HEAD_METRICS
        stray = [name for name in self.saliency.metrics or () if name not in known]
        if stray:
            raise ValueError(f"saliency.metrics has {stray[0]!r}; rule {self.rule!r} ranks by {', '.join(known)}")
        if layers != (METHODS[self.method]["unit"] == "layer"):
            of_layers = ", ".join(name for name in RULES.names if RULES[name].unit == "layer")
            raise ValueError(
                f"method {self.method!r} does not choose by {self.rule!r}; the rules {of_layers} are of 'hiprobe' and "
                "'spherevad', the others of 'headhunt'"
            )
        if self.probe.statistics == "test" and not self.allow_transductive:
            raise ValueError(
                "probe.statistics 'test' sees the rows of the reported videos (transductive): the numbers "
                "then hold for these videos together, not for new ones. Leave statistics out, or set "
                "allow_transductive = true, which computes and stamps them"
            )
        unused = self.saliency.strays(layers=layers)
        if unused:
            raise ValueError(
                f"saliency.{unused[0]} is of {'heads' if layers else 'layers'}, and rule {self.rule!r} chooses "
                f"{'a layer' if layers else 'heads'}; leave it out"
            )
        self._check_chance()
        if self.scheduler == "cluster" and self.cluster is None:
            raise ValueError("scheduler 'cluster' needs a section [analysis.cluster] with the class to start as 'type'")
        if self.cluster is not None and "scheduler" not in self.model_fields_set:
            raise ValueError(
                "a section [analysis.cluster] goes with scheduler = 'cluster'; set that, or leave the section out"
            )
        if layers and self.selection.prompts is not None:
            raise ValueError("selection.prompts is of RHI; a layer is chosen under the score prompt alone")
        if layers and self.saliency.convention != "paper":
            raise ValueError("saliency.convention 'headhunt-code' is of heads; layers have the convention 'paper'")
        return self

    def _check_chance(self) -> None:
        """Refuse permutations or folds for a rule that ranks nothing, and relabelings of videos with both labels."""
        asked = [name for name in ("permutations", "folds") if getattr(self.saliency, name)]
        if asked and self.rule not in RANKING_RULES:
            ranking = ", ".join(RANKING_RULES)
            raise ValueError(
                f"saliency.{asked[0]} goes with a rule that ranks by metrics ({ranking}), not {self.rule!r}"
            )
        calibration = self.calibration
        if self.saliency.permutations and (calibration.unit, calibration.segment_label) == ("segment", "interval"):
            raise ValueError(
                "saliency.permutations relabels whole videos, and with segment_label = 'interval' a video has both "
                "labels; use segment_label = 'video', or folds alone"
            )


def _probe_of(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's defaults for `[analysis.probe]`; none if the job names another kind of probe."""
    found = dict(METHODS.get(method, {}).get("probe", {}))
    return found if given.get("kind", found.get("kind")) == found.get("kind") else {}


def _given(values: Mapping[str, Any], section: str) -> dict[str, Any]:
    """Return the keys that a job gives in a section."""
    found = values.get(section, {})
    if isinstance(found, Section):
        return found.model_dump(exclude_unset=True)
    return dict(found) if isinstance(found, dict) else {}


def _settings_of_code(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the keys that the convention sets for a job, by section.

    Raises:
        ValueError: if the job gives one of these keys another value.
    """
    if values.get("method") in ("hiprobe", "spherevad"):
        raise ValueError(f"convention 'headhunt-code' is of method 'headhunt'; leave it out with {values['method']!r}")
    settings = {name: dict(found) for name, found in CODE_SETTINGS.items()}
    if _given(values, "locator").get("threshold") == "grid":
        settings["locator"].update(CODE_GRID)
    for name, found in settings.items():
        for key, given in _given(values, name).items():
            value = tuple(given) if isinstance(given, list) else given
            if key in found and value != found[key]:
                raise ValueError(
                    f"{name}.{key} is {given!r}, but convention 'headhunt-code' sets {found[key]!r}; leave the key "
                    "out, or the convention"
                )
    return settings
