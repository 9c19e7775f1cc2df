"""The base class of fitted probes: a frozen value that standardises features and scores each row by itself."""

import math
from abc import ABC, abstractmethod
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from vadprobe.analyze.probes.terms import ProbeKind
from vadprobe.store.errors import VadprobeError

_BLOCK_VALUES = 1 << 17  # standardised at a time, so that they stay in the processor's cache; it never changes a score


@dataclass(frozen=True, eq=False)
class Probe(ABC):
    """Fitted probe of any kind. A kind adds its own parameters and facts about the fit.

    Every kind scores `(features - mean) / scale`; `mean` and `scale` are (k,) float64.
    """

    kind: ClassVar[ProbeKind]
    arrays: ClassVar[tuple[str, ...]] = ("mean", "scale")
    """Names of the fields that are float64 arrays."""

    mean: np.ndarray
    scale: np.ndarray

    def __post_init__(self) -> None:
        self._check_shapes()
        values = [getattr(self, name) for name in self.arrays]
        if not all(np.isfinite(value).all() for value in values) or np.any(self.scale <= 0):
            raise VadprobeError(
                "the probe's numbers are not all finite, or a scale is not above 0. The file may have "
                "been edited; use the original."
            )

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return how anomalous each sample is; the score is a probability only for kinds that say so.

        Args:
            features: (n, k) unscaled features, in the order of the fit. Each row's score depends on that row alone, bit
                by bit: passing rows in other blocks changes nothing.

        Returns:
            (n,) float64 in [0, 1]; NaN for a row with a value that is not finite, such as that of a failed clip.

        Raises:
            VadprobeError: if the number of features is not the probe's.
        """
        features = np.asarray(features)
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise VadprobeError(
                f"features have shape {features.shape}, the probe was fitted on {len(self.mean)} features per sample; "
                "pass (n, k) features of the probe's own selection."
            )
        scores = np.empty(len(features))
        n_rows = max(1, _BLOCK_VALUES // max(1, len(self.mean)))
        for start in range(0, len(features), n_rows):
            block = np.array(features[start : start + n_rows], dtype=np.float64, order="C")
            block[~np.isfinite(block).all(axis=1)] = np.nan
            block -= self.mean
            block /= self.scale
            scores[start : start + n_rows] = self._score_standardised(block)
        return scores

    def to_json(self) -> dict[str, Any]:
        """Return the probe as plain JSON values, infinity as "inf"; `probe_from_json` restores it bit by bit."""
        value: dict[str, Any] = {"kind": self.kind}
        for item in fields(self):
            content = getattr(self, item.name)
            if item.name in self.arrays:
                content = content.tolist()
            elif isinstance(content, float) and math.isinf(content):
                content = "inf"
            value[item.name] = content
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Restore a probe of this kind from `to_json`; the key "selection" of earlier versions is ignored.

        Raises:
            VadprobeError: if a number is missing, unknown or out of range.
        """
        given = {name: content for name, content in value.items() if name not in ("kind", "selection")}
        known = {item.name for item in fields(cls)}
        required = {item.name for item in fields(cls) if item.default is MISSING}
        if set(given) - known or required - set(given):
            raise VadprobeError(
                f"a probe of kind {cls.kind!r} has the keys {', '.join(sorted(known))} and needs "
                f"{', '.join(sorted(required))}; got {', '.join(sorted(given))}. The file may have been "
                "edited; use the original."
            )
        restored: dict[str, Any] = {name: math.inf if content == "inf" else content for name, content in given.items()}
        return cls(**restored | {name: np.array(given[name], dtype=np.float64) for name in cls.arrays})

    @abstractmethod
    def _score_standardised(self, block: np.ndarray) -> np.ndarray:
        """Return scores (n,) of standardised features (n, k), float64 in C order, which may be overwritten."""

    def _check_shapes(self) -> None:
        if self.mean.ndim != 1 or self.mean.shape != self.scale.shape:
            raise self._misshapen()

    def _misshapen(self) -> VadprobeError:
        shapes = ", ".join(f"{name} {getattr(self, name).shape}" for name in self.arrays)
        return VadprobeError(
            f"the shapes of the probe's numbers do not fit together: {shapes}. There must be one number "
            "per feature, and one row per unit of a hidden layer. The file may have been edited; use the "
            "original."
        )
