"""Selection of the most salient layer (DLSP) or of robust heads (RHI) from their metrics.

Layers are numbered from the embedding, layer 0; blocks are numbered from 0, and the output of block b is layer b + 1.
So a backbone of L blocks has the layers 0 to L.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from vadprobe.analyze.saliency.ranking import dlsp, rhi
from vadprobe.store.errors import VadprobeError

Unit = Literal["layer", "head"]
Scores = tuple[float | None, ...] | tuple[tuple[float | None, ...], ...]

_DIMS: dict[str, tuple[str, ...]] = {"layer": ("layer",), "head": ("block", "head")}


@dataclass(frozen=True)
class Selection:
    """Layers or heads whose features the probe reads, in the order of its columns, and how they were chosen.

    Attributes:
        unit: "layer" or "head".
        indices: (layer,) for layers, where 0 is the embedding; (block, head), both from 0, for heads.
        method: name of the rule, such as "dlsp" or "rhi".
        scores: ranked scores, None where unknown: one number per layer, the first for layer `first_layer`; or per block
            one number per head. Empty if the rule ranks nothing.
        first_layer: layer of the first score.
        inputs: digests of what the scores were computed from, by name.
    """

    unit: Unit
    method: str
    indices: tuple[tuple[int, ...], ...]
    scores: Scores = ()
    inputs: Mapping[str, str] = field(default_factory=dict, hash=False)
    first_layer: int = 0

    def __post_init__(self) -> None:
        if self.unit not in _DIMS:
            raise VadprobeError(f"the selection's unit must be 'layer' or 'head', got {self.unit!r}.")
        if not self.method:
            raise VadprobeError("the selection's method is empty; name the rule that chose, such as 'dlsp' or 'rhi'.")
        dims = _DIMS[self.unit]
        for index in self.indices:
            if len(index) != len(dims) or not all(isinstance(part, int) and part >= 0 for part in index):
                raise VadprobeError(
                    f"an index of the selection must be ({', '.join(dims)}), whole numbers from 0, got {index!r}."
                )
        if not self.indices or len(set(self.indices)) < len(self.indices):
            raise VadprobeError(
                f"the selection's indices must be at least one, and each only once, got {self.indices!r}."
            )
        self._check_scores()

    def _check_scores(self) -> None:
        shape = self.score_array().shape
        if not self.scores:
            return
        first = (self.first_layer, 0)[: len(shape)]
        inside = len(shape) == len(_DIMS[self.unit]) and all(
            low <= part < low + count
            for index in self.indices
            for part, low, count in zip(index, first, shape, strict=True)
        )
        if not inside:
            raise VadprobeError(
                f"the selection's scores must be one per {self.unit}, among them {self.indices!r}, got the shape "
                f"{shape} from {_DIMS[self.unit][0]} {self.first_layer}."
            )

    def score_array(self) -> np.ndarray:
        """Return the scores, (layers,) or (blocks, heads) float64, NaN where unknown.

        Raises:
            VadprobeError: if blocks have different numbers of heads, or a score is not a number.
        """
        try:
            return np.array(self.scores, dtype=np.float64)  # None becomes NaN
        except (TypeError, ValueError) as error:
            raise VadprobeError(f"the selection's scores are not an array of numbers: {error}.") from error

    @property
    def parts(self) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
        """Layers, and heads as (block, head), that a store must hold for this selection; one of the two is empty."""
        if self.unit == "layer":
            return tuple(index[0] for index in self.indices), ()
        return (), tuple((index[0], index[1]) for index in self.indices)

    def to_json(self) -> dict[str, Any]:
        """Return the selection as plain JSON values; `from_json` restores every bit. An unknown score is null."""
        return {
            "unit": self.unit,
            "method": self.method,
            "indices": [list(index) for index in self.indices],
            "scores": [list(row) if isinstance(row, tuple) else row for row in self.scores],
            "inputs": dict(self.inputs),
            "first_layer": self.first_layer,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Selection":
        """Restore a selection from `to_json`.

        Raises:
            VadprobeError: if a part is missing or does not fit the others.
        """
        missing = {"unit", "method", "indices", "scores", "inputs", "first_layer"} - set(value)
        if missing:
            raise VadprobeError(
                f"this is not a selection: it lacks {', '.join(sorted(missing))}. The file "
                "may have been edited; use the original."
            )
        return Selection(
            unit=value["unit"],
            method=value["method"],
            indices=tuple(tuple(index) for index in value["indices"]),
            scores=tuple(tuple(row) if isinstance(row, list) else row for row in value["scores"]),
            inputs=dict(value["inputs"]),
            first_layer=value["first_layer"],
        )


def layer_name(layer: int) -> str:
    """Return a layer's number and that of its block, from 0, which most likely is HiProbe-VAD's number (figure 4)."""
    return f"{layer} (block {layer - 1})" if layer > 0 else f"{layer} (embedding)"


def select_layer(metrics: Mapping[str, np.ndarray], *, inputs: Mapping[str, str] | None = None) -> Selection:
    """Select the layer of greatest saliency, the first of equal ones (DLSP, eq. 7 (HiProbe-VAD)).

    Arguments and errors as for `dlsp`; `inputs` is stored in the selection.
    """
    scores, _ = dlsp(metrics)
    layer = 1 + int(scores.argmax())
    return Selection("layer", "dlsp", ((layer,),), tuple(scores.tolist()), dict(inputs or {}), first_layer=1)


def select_heads(
    metrics: Mapping[str, Mapping[str, np.ndarray]],
    *,
    weight: float = 0.5,
    top: int = 5,
    inputs: Mapping[str, str] | None = None,
) -> Selection:
    """Select the heads of greatest robust saliency, best first (RHI, eq. 9 (HeadHunt-VAD)).

    Arguments and errors as for `rhi`; `inputs` is stored in the selection.
    """
    found = rhi(metrics, weight, top)
    scores = tuple(tuple(None if np.isnan(value) else value for value in row) for row in found.robust.tolist())
    return Selection("head", "rhi", found.heads, scores, dict(inputs or {}))
