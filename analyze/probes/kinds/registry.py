"""The kinds of fitted probes by name. Reading a probe needs no scikit-learn; `probes.fitting` fits it."""

from typing import Any, cast

from vadprobe.analyze.compute.registry import Registry
from vadprobe.analyze.probes.kinds.distance import DistanceProbe
from vadprobe.analyze.probes.kinds.linear import LinearSvmProbe, LogisticProbe
from vadprobe.analyze.probes.kinds.mlp import MlpProbe
from vadprobe.analyze.probes.kinds.neighbours import NeighboursProbe
from vadprobe.analyze.probes.kinds.samples import Scorer
from vadprobe.analyze.probes.kinds.sphere import SphereProbe
from vadprobe.analyze.probes.kinds.whitened import WhitenedProbe
from vadprobe.analyze.probes.probe import Probe

__all__ = ["SCORERS", "Probe", "own_fit", "probe_from_json"]

_KINDS: tuple[type[Probe], ...] = (
    *(LogisticProbe, LinearSvmProbe, MlpProbe, DistanceProbe),
    *(SphereProbe, WhitenedProbe, NeighboursProbe),
)
SCORERS: Registry[type[Probe]] = Registry("probe's kind", {kind.kind: kind for kind in _KINDS})
"""Classes of probes by kind. A `samples.Scorer` fits itself; `probes.fitting` fits the first four."""


def own_fit(kind: str) -> type[Scorer] | None:
    """Return the class of a kind that fits itself; None for a kind that `probes.fitting` fits.

    Raises:
        VadprobeError: if the kind is not known.
    """
    found: object = SCORERS[kind]
    return cast(type[Scorer], found) if isinstance(found, Scorer) else None


def probe_from_json(value: dict[str, Any]) -> Probe:
    """Restore a probe of any kind from `to_json`, bit by bit; a value without "kind" is a logistic probe.

    Raises:
        VadprobeError: if the kind is not known, or the value's numbers do not make a probe of that kind.
    """
    return SCORERS[value.get("kind", "logistic")].from_json(value)
