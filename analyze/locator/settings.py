"""The section `[analysis.locator]` of a job: smoothing of segment scores, and the threshold."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from vadprobe.analyze.locator.rules import LOCATOR_RULES
from vadprobe.analyze.locator.smoothing import Edge, Smoothing
from vadprobe.store.settings import OpenReading, Section

THRESHOLDS = tuple(step / 100 for step in range(1, 100))
"""Default thresholds of the locator's grid: 0.01 to 0.99 in steps of 0.01."""

LOCATORS: Mapping[str, Mapping[str, Any]] = {
    "hiprobe": {"sigmas": (0.4,), "threshold": "adaptive"},
    "headhunt": {"sigmas": (1.5,), "threshold": 0.65},
    "spherevad": {"sigmas": (52 / 24,), "threshold": 0.5},
}
"""Defaults of `[analysis.locator]` by method, as in the papers."""

CODE_LOCATOR: Mapping[str, Any] = {"edge": "zero", "truncate": 3.0}
"""Smoothing of the public code of HeadHunt-VAD."""

CODE_GRID: Mapping[str, tuple[float, ...]] = {
    "sigmas": tuple(step / 4 for step in range(2, 13)),
    "thresholds": tuple(step / 100 for step in range(10, 91)),
}
"""Grid of that code: sigma 0.5 to 3.0 in 11 steps, threshold 0.1 to 0.9 in 81."""

_EDGE = OpenReading(
    "smoothing at the ends of a video",
    "a convolution, nothing said",
    "zeros (the public code): a constant 1 becomes 0.63",
)
_TRUNCATE = OpenReading("width of the smoothing", "nothing", "3 sigma (the public code)")
_GRID = OpenReading("thresholds of the grid", "nothing", "0.1 to 0.9 in 81 steps (the public code)")
_SIGMAS = OpenReading(
    "sigma of the smoothing", "HiProbe 0.4, HeadHunt 1.5", "a grid: 0.5 to 3.0 in 11 steps (the public code)"
)
_THRESHOLD = OpenReading(
    "threshold",
    "HiProbe: adaptive; HeadHunt: 0.65; both tables: 0.25, 0.5, 0.75",
    "the best on validation videos; a threshold of one scaling of the features means nothing under another",
)
_KAPPA = OpenReading("kappa of the adaptive threshold", "HiProbe: 0.2", "any")
_SAMPLES = OpenReading(
    "samples of the adaptive threshold",
    "HiProbe: mean and deviation of the few-shot scores",
    "the anomalous ones alone: the threshold is then near 1",
)

Samples = Literal["all", "anomalous"]


class LocatorConfig(Section):
    """Section `[analysis.locator]`: smoothing of segment scores and the threshold of the binary decision.

    `threshold` is "grid", for the (sigma, threshold) pair of best frame F1 on the videos of `split`; "adaptive", for
    the mean plus kappa deviations of the calibration probabilities (HiProbe-VAD); or a number. If a job leaves sigma or
    threshold out, its method sets them: 0.4 and "adaptive" for 'hiprobe', 1.5 and 0.65 for 'headhunt', 52/24
    (SphereVAD's 52 frames) and 0.5 for 'spherevad'.
    """

    split: Literal["validation", "test"] = Field(
        default="validation",
        description="videos that the grid is tuned on; those of 'test' are reported too, which needs allow_overlap",
    )

    sigmas: Annotated[tuple[float, ...], _SIGMAS] = Field(
        default=(1.5,),
        min_length=1,
        description="widths of the smoothing in segments; by method [0.4], [1.5], [2.1667]",
    )
    threshold: Annotated[float | str, _THRESHOLD] = Field(
        default=0.65,
        description="a number, 'adaptive', 'grid', or a rule that another package adds. HeadHunt: 0.65; with method "
        "'hiprobe' the default is 'adaptive', with 'spherevad' 0.5",
    )
    thresholds: Annotated[tuple[float, ...] | None, _GRID] = Field(
        default=None, min_length=1, description="thresholds of the grid; by default 0.01 to 0.99 in steps of 0.01"
    )
    kappa: Annotated[float, _KAPPA] = Field(
        default=0.2, allow_inf_nan=False, description="standard deviations above the mean; HiProbe prints 0.2"
    )
    adaptive_samples: Annotated[Samples, _SAMPLES] = Field(
        default="all", description="calibration samples whose probabilities give the adaptive threshold, unsmoothed"
    )
    edge: Annotated[Edge, _EDGE] = Field(
        default="reflect",
        description="what stands beyond the ends of a video: its scores mirrored, zeros, or the score at the end",
    )
    truncate: Annotated[float, _TRUNCATE] = Field(
        default=4.0,
        gt=0,
        allow_inf_nan=False,
        description="reach of the smoothing on each side, in sigmas; rounded to whole segments",
    )

    @property
    def tunes(self) -> bool:
        """True if the threshold rule is tuned on held-out videos."""
        return isinstance(self.threshold, str) and LOCATOR_RULES[self.threshold].tunes

    @property
    def smoothing(self) -> Smoothing:
        """Edge and width of the smoothing."""
        return Smoothing(self.edge, self.truncate)

    @property
    def grid(self) -> tuple[float, ...]:
        """Thresholds that the grid tries."""
        return THRESHOLDS if self.thresholds is None else self.thresholds

    @model_validator(mode="after")
    def _one_sigma_without_grid(self) -> "LocatorConfig":
        if isinstance(self.threshold, str) and self.threshold not in LOCATOR_RULES.names:
            known = ", ".join(f"'{name}'" for name in LOCATOR_RULES.names)
            raise ValueError(f"threshold must be a number, or one of {known}, got {self.threshold!r}")
        if not self.tunes and len(self.sigmas) > 1:
            raise ValueError("several sigmas can only be tried with threshold = 'grid'")
        if min(self.sigmas) < 0:
            raise ValueError("a sigma must not be negative; 0 means no smoothing")
        return self
