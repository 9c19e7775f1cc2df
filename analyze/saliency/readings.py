"""Readings of the saliency metrics: what the papers leave open, as values that the kernels take."""

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
    """Readings of HiProbe's metrics of layers (eqs. 1 to 6).

    `entropy_bins` B >= 2 of the histograms; `kl_direction` of the divergence, "normal-anomalous" is D(n || a);
    `variance_floor` >= 0, the least class variance of a dimension in it, as a fraction of the dimension's variance over
    all samples; `ratio_epsilon` >= 0, added to the variances of the discriminant ratio, in squared units of the
    features.
    """

    entropy_bins: int = 32
    kl_direction: Direction = "normal-anomalous"
    variance_floor: float = 1e-3
    ratio_epsilon: float = 1e-12


@dataclass(frozen=True)
class HeadReadings:
    """Readings of HeadHunt's metrics of heads (eqs. 3 to 6), under the convention "paper".

    `lda_covariance` S of LDA: shrunk by Ledoit and Wolf or by OAS, with a fixed intensity in (0, 1], or not shrunk and
    with a pseudo-inverse. `mmd` the root of the discrepancy, or its square. `kmeans_starts` >= 1 of the two-means
    clustering. `nmi_mean` of the two entropies that mutual information is divided by.
    """

    lda_covariance: LdaCovariance = "ledoit-wolf"
    mmd: MmdForm = "root"
    kmeans_starts: int = 10
    nmi_mean: NmiMean = "geometric"


def covariance_fault(value: LdaCovariance) -> str | None:
    """Return the sentence that says what is wrong with a fixed intensity; None if nothing is."""
    if isinstance(value, str) or (math.isfinite(value) and 0 < value <= 1):
        return None
    return (
        "lda_covariance must be 'ledoit-wolf', 'oas', 'pseudo-inverse' or a fixed intensity above 0 and at most 1, "
        f"got {value}"
    )


LAYERS = LayerReadings()
"""The readings of layers where nothing else is said."""

HEADS = HeadReadings()
"""The readings of heads where nothing else is said."""
