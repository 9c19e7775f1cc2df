"""What every fitted probe is: a frozen value that standardises features, scores each row alone, and becomes JSON."""

import math
from abc import ABC, abstractmethod
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Self

import numpy as np

from vadprobe.analyze.calibration.labels import check_classes
from vadprobe.analyze.probes.settings import ClassWeight, ProbeKind
from vadprobe.store.errors import VadprobeError

_BLOCK_ROWS = 2048  # rows standardised at a time; bounds memory, never changes a score


@dataclass(frozen=True, eq=False)
class Probe(ABC):
    """A fitted probe of any kind; a kind adds its own numbers and how it was fitted.

    Every kind sees ``(features - mean) / scale``; ``mean`` and ``scale`` are (k,) float64. ``selection`` is the JSON
    form of what the k features are, which a probe only carries.
    """

    kind: ClassVar[ProbeKind]
    arrays: ClassVar[tuple[str, ...]] = ("mean", "scale")
    """Names of the fields that are float64 arrays."""

    mean: np.ndarray
    scale: np.ndarray
    selection: dict[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        self._check_shapes()
        values = [getattr(self, name) for name in self.arrays]
        if not all(np.isfinite(value).all() for value in values) or np.any(self.scale <= 0):
            raise VadprobeError(
                "the probe's numbers are not all finite, or a scale is not above 0. Was the file edited?"
            )

    def score(self, features: np.ndarray) -> np.ndarray:
        """How anomalous each sample is (HP8, HH11), in float64; only a kind that says so gives probabilities.

        Args:
            features: (n, k) raw features, as they were fitted. Each row's score depends on that row alone, to the last
                bit: passing rows in other blocks changes nothing.

        Returns:
            (n,) float64 in [0, 1]; NaN for a row with a value that is not finite (a failed clip is unknown, not 0).

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
        for start in range(0, len(features), _BLOCK_ROWS):
            block = np.array(features[start : start + _BLOCK_ROWS], dtype=np.float64, order="C")
            block[~np.isfinite(block).all(axis=1)] = np.nan
            block -= self.mean
            block /= self.scale
            scores[start : start + _BLOCK_ROWS] = self._score_standardised(block)
        return scores

    def to_json(self) -> dict[str, Any]:
        """The probe as plain JSON values; ``probe.probe_from_json`` restores every bit. Infinity is "inf"."""
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
        """The inverse of ``to_json``, for a value of this kind.

        Raises:
            VadprobeError: if a number is missing, unknown or out of range.
        """
        given = {name: content for name, content in value.items() if name != "kind"}
        known = {item.name for item in fields(cls)}
        required = {item.name for item in fields(cls) if item.default is MISSING and item.default_factory is MISSING}
        if set(given) - known or required - set(given):
            raise VadprobeError(
                f"a probe of kind {cls.kind!r} has the keys {', '.join(sorted(known))}, of which it needs "
                f"{', '.join(sorted(required))}; got {', '.join(sorted(given))}. Was the file edited?"
            )
        restored: dict[str, Any] = {name: math.inf if content == "inf" else content for name, content in given.items()}
        return cls(**restored | {name: np.array(given[name], dtype=np.float64) for name in cls.arrays})

    @abstractmethod
    def _score_standardised(self, block: np.ndarray) -> np.ndarray:
        """Scores (n,) of standardised features (n, k), float64 in C order, which may be overwritten."""

    def _check_shapes(self) -> None:
        """Raise unless the arrays fit together."""
        if self.mean.ndim != 1 or self.mean.shape != self.scale.shape:
            raise self._misshapen()

    def _misshapen(self) -> VadprobeError:
        shapes = ", ".join(f"{name} {getattr(self, name).shape}" for name in self.arrays)
        return VadprobeError(
            f"the shapes of the probe's numbers do not fit together: {shapes}; one number per feature is wanted, and "
            "of a hidden layer one row per unit. Was the file edited?"
        )


def checked_samples(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features to fit on as (n, k) float64 in C order, never the caller's own, and labels as (n,) int64.

    Raises:
        VadprobeError: if a shape or label is not as wanted, a feature is not finite, or a class has fewer than two
            samples.
    """
    features = np.array(features, dtype=np.float64, order="C")
    labels = np.asarray(labels)
    if features.ndim != 2 or features.shape[1] == 0 or labels.shape != features.shape[:1]:
        raise VadprobeError(
            f"features have shape {features.shape}, labels {labels.shape}; (n, k) with k >= 1 and (n,) are wanted."
        )
    if not np.isin(labels, (0, 1)).all():
        raise VadprobeError(
            f"labels are {np.unique(labels).tolist()[:8]}; only 1 (anomalous) and 0 (normal) are wanted."
        )
    check_classes(labels)
    bad = ~np.isfinite(features)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise VadprobeError(
            f"{int(bad.any(axis=1).sum())} of {len(features)} samples have features that are not finite, first sample "
            f"{row}, feature {column} ({features[row, column]}). Leave failed clips out; if the model "
            "overflowed, extract in bfloat16."
        )
    return features, labels.astype(np.int64)


def check_penalty(C: float, max_iter: int) -> None:
    """Raise ``VadprobeError`` unless ``C > 0`` and ``max_iter >= 1``."""
    if not C > 0 or max_iter < 1:
        raise VadprobeError(
            f"C is {C} and max_iter {max_iter}; C > 0 (inf for no penalty) and max_iter >= 1 are wanted."
        )


def sample_weights(labels: np.ndarray, class_weight: ClassWeight | None) -> np.ndarray:
    """Weight of each sample, (n,) float64: 1, or with "balanced" n / (2 n_class)."""
    if class_weight is None:
        return np.ones(len(labels))
    return np.asarray(len(labels) / (2 * np.bincount(labels))[labels])
