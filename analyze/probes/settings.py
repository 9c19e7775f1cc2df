"""The section `[analysis.probe]` of a job, and checks for settings that contradict one another."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from vadprobe.analyze.probes.kinds.registry import SCORERS, own_fit
from vadprobe.analyze.probes.kinds.samples import Scorer
from vadprobe.analyze.probes.terms import HIDDEN, ClassWeight, Convention, ProbeKind, Resampling, Scaling
from vadprobe.store.settings import OpenReading, Section

Statistics = Literal["calibration", "test"]


def contradiction(  # noqa: PLR0911 one sentence each
    kind: ProbeKind,
    *,
    C: float = 1.0,
    class_weight: ClassWeight | None = None,
    hidden: int = HIDDEN,
    convention: Convention = "paper",
    options: Mapping[str, float] | None = None,
    statistics: Statistics = "calibration",
) -> str | None:
    """Return a sentence about settings that cannot be combined; None if all can.

    A setting that the kind would ignore is refused if it differs from its default, so that no result is taken for the
    effect of an ignored setting. Seeds are never refused: kinds without randomness give the same result for each.
    """
    if kind not in SCORERS.names:
        return f"the kind must be one of {', '.join(SCORERS.names)}, got {kind!r}"
    scorer = own_fit(kind)
    refused = _refused_of(kind, scorer, options or {}, statistics)
    if refused:
        return refused
    if convention == "headhunt-code" and kind != "logistic":
        return (
            f"the convention 'headhunt-code' is that code's logistic regression, and the probe's kind is {kind!r}; "
            "take kind 'logistic', or the convention 'paper'"
        )
    if math.isinf(C) and convention == "headhunt-code":
        return "the convention 'headhunt-code' fits by liblinear, which always has a penalty; C must be finite"
    if math.isinf(C) and kind == "linear-svm":
        return "the linear SVM is defined by its penalty, so C must be finite"
    if hidden != HIDDEN and kind != "mlp":
        return f"hidden is {hidden}, and a probe of kind {kind!r} has no hidden units; take kind 'mlp', or leave it out"
    if (kind == "distance" or scorer is not None) and (C != 1.0 or class_weight is not None):
        return (
            f"a probe of kind {kind!r} fits no boundary, so C and class_weight change nothing; leave them out, or "
            "take another kind"
        )
    return None


def _refused_of(
    kind: ProbeKind, scorer: type[Scorer] | None, options: Mapping[str, float], statistics: Statistics
) -> str | None:
    """Return a sentence about options or statistics that a kind does not have; None if it has all."""
    known: Mapping[str, float] = {} if scorer is None else scorer.options
    stray = [name for name in options if name not in known]
    if stray:
        return f"a probe of kind {kind!r} has {_named(known)}, not {stray[0]!r}"
    small = [name for name, value in options.items() if not value > 0]
    if small:
        return f"options.{small[0]} must be above 0, got {options[small[0]]}"
    if statistics == "test" and (scorer is None or not scorer.sees_rows):
        return f"a probe of kind {kind!r} has no statistic without labels; leave statistics out"
    return None


def _named(options: Mapping[str, float]) -> str:
    return f"the options {', '.join(options)}" if options else "no options"


CODE_PROBE: Mapping[str, Any] = {
    "convention": "headhunt-code",
    "kind": "logistic",
    "c": 1.0,
    "class_weight": None,
    "max_iterations": 2000,
    "fraction": 0.6,
    "resampling": "none",
    "seed": 42,
}
"""The probe of the public code of HeadHunt-VAD."""

_SOLVER = OpenReading(
    "logistic regression", "HiProbe: L-BFGS, 1000 epochs", "liblinear, whose intercept is penalised (the public code)"
)
_C = OpenReading("penalty of logistic regression", "none", "'inf' is as printed, and stops where the solver does")
_SCALING = OpenReading("scaling of the features", "none mentioned", "features as they are (both papers as printed)")
_FRACTION = OpenReading(
    "samples of the fit", "the calibration samples", "60 % of them, stratified (the public code holds out the others)"
)
_RESAMPLING = OpenReading(
    "'resampled hidden states'", "HiProbe 4.1.2 does not say what is resampled", "both classes made equally many"
)


class ProbeConfig(Section):
    """Section `[analysis.probe]`: the probe on the selected features; both papers fit logistic regression."""

    kind: ProbeKind = Field(
        default="logistic",
        description="'logistic' is that of both papers; 'linear-svm', 'mlp' and 'distance' are for comparison, "
        "'von-mises-fisher' is SphereVAD's, 'whitened' and 'nearest-neighbours' see no label; or one that another "
        "package adds",
    )
    options: dict[str, float] = Field(
        default={},
        description="numbers of a kind: 'von-mises-fisher' normal_prototypes = 3, anomalous_prototypes = 25 (at most "
        "one for each sample), concentration = 3.33; 'whitened' components = 32; 'nearest-neighbours' neighbours = 5, "
        "bank = 512",
    )
    statistics: Statistics = Field(
        default="calibration",
        description="rows that means, covariances and neighbours are computed from, without labels: 'test' adds the "
        "rows of the test videos, which is transductive and needs allow_transductive",
    )
    c: Annotated[float, _C] = Field(
        default=1.0,
        gt=0,
        description="inverse strength of the penalty; 'inf' is no penalty, as the equations are printed",
    )
    max_iterations: int = Field(
        default=1000, ge=1, description="HiProbe: 1000 iterations of L-BFGS; HeadHunt's code: 2000 of liblinear"
    )
    class_weight: ClassWeight | None = Field(
        default=None, description="'balanced': both classes weigh the same, however many samples each has"
    )
    hidden: int = Field(default=HIDDEN, ge=1, description="hidden units of kind 'mlp'")
    seed: int = Field(
        default=0,
        ge=0,
        description="seed of the first weights of kind 'mlp', and of the draws of `fraction` and `resampling`",
    )
    convention: Annotated[Convention, _SOLVER] = Field(
        default="paper", description="'headhunt-code': liblinear on unscaled features, as HeadHunt's public code"
    )
    scaling: Annotated[Scaling, _SCALING] = Field(
        default="standard",
        description="'standard': mean 0 and deviation 1 over the samples of the fit; 'none': as they are",
    )
    fraction: Annotated[float, _FRACTION] = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of the calibration samples that the fit sees, drawn within each class",
    )
    resampling: Annotated[Resampling, _RESAMPLING] = Field(
        default="none", description="'balanced': samples of the rarer class are repeated until both are equally many"
    )
    memory_gb: float = Field(
        default=2.0,
        ge=0,
        description="features that a fit may hold in memory; a logistic fit on more features streams over the store",
    )

    @property
    def streams(self) -> bool:
        """True for a probe that can be fitted in blocks, without all features in memory."""
        plain = self.scaling == "standard" and self.fraction == 1 and self.resampling == "none"
        return self.kind == "logistic" and self.convention == "paper" and plain

    @model_validator(mode="after")
    def _parts_fit(self) -> "ProbeConfig":
        refused = contradiction(
            self.kind,
            C=self.c,
            class_weight=self.class_weight,
            hidden=self.hidden,
            convention=self.convention,
            options=self.options,
            statistics=self.statistics,
        )
        if refused:
            raise ValueError(refused)
        return self
