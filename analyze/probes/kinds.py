"""The kinds of fitted probes by name. Reading one needs no scikit-learn; `.fitting` fits them."""

from typing import Any

from vadprobe.analyze.probes.distance import DistanceProbe
from vadprobe.analyze.probes.linear import LinearSvmProbe, LogisticProbe
from vadprobe.analyze.probes.mlp import MlpProbe
from vadprobe.analyze.probes.probe import Probe
from vadprobe.store.errors import VadprobeError

__all__ = ["Probe", "probe_from_json"]

_KINDS: dict[str, type[Probe]] = {kind.kind: kind for kind in (LogisticProbe, LinearSvmProbe, MlpProbe, DistanceProbe)}


def probe_from_json(value: dict[str, Any]) -> Probe:
    """Restore what `to_json` of a probe of any kind gave, every bit; a value without "kind" is a logistic probe.

    Raises:
        VadprobeError: if the kind is not known, or the value's numbers do not make a probe of that kind.
    """
    kind = value.get("kind", "logistic")
    if kind not in _KINDS:
        raise VadprobeError(
            f"the probe's kind must be one of {', '.join(_KINDS)}, got {kind!r}. Was it written by a newer version?"
        )
    return _KINDS[kind].from_json(value)
