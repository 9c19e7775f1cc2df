"""The kinds of fitted probes by name. Reading one needs no scikit-learn; `.fitting` fits them."""

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
"""Classes of probes; one that is `samples.Scorer` fits itself, `.fitting` fits the first four."""


def own_fit(kind: str) -> type[Scorer] | None:
    """Return the class of a kind that fits itself; None for one of `.fitting`.

    Raises:
        VadprobeError: if the kind is not known.
    """
    found: object = SCORERS[kind]
    return cast(type[Scorer], found) if isinstance(found, Scorer) else None


def probe_from_json(value: dict[str, Any]) -> Probe:
    """Restore what `to_json` of a probe of any kind gave, every bit; a value without "kind" is a logistic probe.

    Raises:
        VadprobeError: if the kind is not known, or the value's numbers do not make a probe of that kind.
    """
    return SCORERS[value.get("kind", "logistic")].from_json(value)
