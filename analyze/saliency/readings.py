"""Readings of the saliency metrics: choices that the papers leave open, as arguments of the kernels."""

import math
from dataclasses import dataclass
from typing import Literal

Convention = Literal["paper", "headhunt-code"]
Direction = Literal["normal-anomalous", "anomalous-normal"]
LdaCovariance = Literal["ledoit-wolf", "oas", "pseudo-inverse"] | float
MmdForm = Literal["root", "square"]
NmiMean = Literal["geometric", "arithmetic"]


@dataclass(frozen=True)
class LayerReadings:
    """Readings of DLSP's metrics of layers (HiProbe-VAD, eqs. 1 to 6).

    Attributes:
        entropy_bins: number B >= 2 of bins of the histograms.
        kl_direction: direction of the divergence; "normal-anomalous" is D(n || a).
        variance_floor: least class variance in the divergence, >= 0, as a fraction of the dimension's variance over all
            samples.
        ratio_epsilon: number >= 0 added to the variances of the discriminant ratio, in squared units of the features.
    """

    entropy_bins: int = 32
    kl_direction: Direction = "normal-anomalous"
    variance_floor: float = 1e-3
    ratio_epsilon: float = 1e-12


@dataclass(frozen=True)
class HeadReadings:
    """Readings of RHI's metrics of heads (HeadHunt-VAD, eqs. 3 to 6), for the convention "paper".

    Attributes:
        lda_covariance: covariance S of LDA: shrunk by Ledoit and Wolf or by OAS, with a fixed intensity in (0, 1], or
            not shrunk, with a pseudo-inverse.
        mmd: the root of the discrepancy, or its square.
        kmeans_starts: number >= 1 of starts of the two-means clustering.
        nmi_mean: mean of the two entropies by which mutual information is divided.
    """

    lda_covariance: LdaCovariance = "ledoit-wolf"
    mmd: MmdForm = "root"
    kmeans_starts: int = 10
    nmi_mean: NmiMean = "geometric"


def covariance_fault(value: LdaCovariance) -> str | None:
    """Return a sentence about a fixed intensity outside (0, 1]; None for any valid covariance."""
    if isinstance(value, str) or (math.isfinite(value) and 0 < value <= 1):
        return None
    return (
        "lda_covariance must be 'ledoit-wolf', 'oas', 'pseudo-inverse' or a fixed intensity above 0 and at most 1, "
        f"got {value}"
    )


LAYERS = LayerReadings()
"""Default readings of the metrics of layers."""

HEADS = HeadReadings()
"""Default readings of the metrics of heads."""
