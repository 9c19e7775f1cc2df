"""Ranking of layers by DLSP (HiProbe-VAD, eqs. 5 and 6) and of heads by RHI (HeadHunt-VAD, eqs. 7 to 9)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vadprobe.analyze.saliency.layers import FLOORED_DIMENSIONS
from vadprobe.store.errors import VadprobeError

_UNKNOWN = (
    "a metric is unknown where a class's samples are too few or equal (symmetric_kl needs three per class). Draw a "
    "larger calibration set: label more training videos, or set a larger fraction in [analysis.calibration]."
)


_CHECK = "Check that layer's features."

_REMEDIES = {
    "gaussian_kl": "A class that is constant in a dimension makes it so; set saliency.variance_floor above 0.",
    "discriminant_ratio": "Classes that are constant in a dimension make it so; set saliency.ratio_epsilon above 0.",
}
"""Advice by metric of layers for an infinite value."""


@dataclass(frozen=True, eq=False)
class RobustSaliency:
    """Robust saliency of heads, as arrays (blocks, heads) float64, NaN for a head that is unknown under any prompt.

    `mean` and `instability` are the mean and the standard deviation of the saliency over prompts (eqs. 7 and 8
    (HeadHunt-VAD)), `robust` is the mean minus the weighted instability (eq. 9). `prompts` has the saliency under each
    prompt. `heads` are the chosen (block, head), best first.
    """

    mean: np.ndarray
    instability: np.ndarray
    robust: np.ndarray
    heads: tuple[tuple[int, int], ...]
    prompts: Mapping[str, np.ndarray]


def dlsp(metrics: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the layer saliency S(l), the sum of the metrics' z-scores over layers (DLSP, second eqs. 5 and 6).

    z-scores use the population standard deviation. With fewer than about twenty layers they are coarse: a single
    outlying layer dominates the z-scores of a metric.

    Args:
        metrics: by name (L,), one value for each of the layers 1 to L. Do not pass layer 0, the constant embedding,
            which would shift every z-score. The count "floored_dimensions" is ignored.

    Returns:
        (L,) float64 scores, and the z-scores of each metric, (L,) float64. The chosen layer (eq. 7) is the first
        maximum, `1 + scores.argmax()`. A metric that is the same in every layer has z-scores 0.

    Raises:
        VadprobeError: if a value is not finite.
    """
    ranked = {name: values for name, values in metrics.items() if name != FLOORED_DIMENSIONS}
    for name, values in ranked.items():
        unknown = np.flatnonzero(~np.isfinite(values))
        if len(unknown):
            remedy = _REMEDIES.get(name, _CHECK) if np.isinf(values[unknown[0]]) else _CHECK
            raise VadprobeError(
                f"{name} must be finite, got {values[unknown[0]]} at layer {1 + unknown[0]} ({len(unknown)} such "
                f"layers). {remedy}"
            )
    z_scores = {name: _z_scores(values) for name, values in ranked.items()}
    # Summed in the order of names, so that the order of the mapping changes no bit.
    return np.sum([z_scores[name] for name in sorted(z_scores)], axis=0), z_scores


def rhi(metrics: Mapping[str, Mapping[str, np.ndarray]], weight: float = 0.5, top: int = 5) -> RobustSaliency:
    """Return the robust saliency of heads over several prompts, and the best heads (RHI, eqs. 7 to 9 (HeadHunt-VAD)).

    Per prompt, each metric is scaled to [0, 1] over all heads, and a head's saliency is the mean of its metrics. From
    its mean and population standard deviation over prompts, `RSS = mean - weight * deviation`. With one prompt the
    deviation is 0, and the choice is far less robust.

    Args:
        metrics: by prompt and metric name (blocks, heads), the same metrics for each prompt. NaN is unknown: such a
            head has no robust saliency, is never chosen, and is left out when that metric is scaled.
        weight: lambda of eq. 9, >= 0; the paper takes 0.5.
        top: number of heads to choose; the paper takes 5.

    Returns:
        The robust saliency of all heads, and the `top` heads; of equal ones the lower (block, head) is first. A metric
        that is equal for all heads of a prompt counts as 0.

    Raises:
        VadprobeError: if a value is infinite, weight or top are out of range, or fewer than `top` heads are known.
    """
    shape = next(values.shape for of_prompt in metrics.values() for values in of_prompt.values())
    if not weight >= 0 or not np.isfinite(weight):
        raise VadprobeError(f"the instability weight must be 0 or more, got {weight} (the paper's is 0.5).")
    if not 1 <= top <= shape[0] * shape[1]:
        raise VadprobeError(f"top must be from 1 to {shape[0] * shape[1]}, the number of heads, got {top}.")
    # Summed in the order of names, so that the order of the mappings changes no bit.
    saliency = np.stack(
        [
            np.mean([_scaled(prompt, name, metrics[prompt][name]) for name in sorted(metrics[prompt])], axis=0)
            for prompt in sorted(metrics)
        ]
    )
    mean, instability = saliency.mean(axis=0), saliency.std(axis=0)
    robust = mean - weight * instability
    known = int(np.isfinite(robust).sum())
    if known < top:
        raise VadprobeError(
            f"{known} of {robust.size} heads have a robust saliency, and top asks for {top}; {_UNKNOWN}"
        )
    order = np.argsort(-robust, axis=None, kind="stable")[:top]  # NaN sorts last
    heads = tuple((int(number) // shape[1], int(number) % shape[1]) for number in order)
    prompts = dict(zip(sorted(metrics), saliency, strict=True))
    return RobustSaliency(mean, instability, robust, heads, {key: prompts[key] for key in metrics})


def _scaled(prompt: str, name: str, values: np.ndarray) -> np.ndarray:
    """Scale the known heads onto [0, 1]; NaN stays NaN."""
    if np.isinf(values).any():
        index = tuple(np.argwhere(np.isinf(values))[0].tolist())
        raise VadprobeError(f"{name} is infinite under prompt {prompt!r} at (block, head) {index}; NaN means unknown.")
    if np.isnan(values).all():
        raise VadprobeError(f"{name} is unknown for every head under prompt {prompt!r}: {_UNKNOWN}")
    return _stretched(values)


def _stretched(values: np.ndarray) -> np.ndarray:
    """Scale values linearly onto [0, 1], ignoring NaN; all 0 if all are equal."""
    offset = values - np.nanmin(values)
    width = np.nanmax(offset)
    return np.asarray(offset / width if width > 0 else offset)


def _z_scores(values: np.ndarray) -> np.ndarray:
    # Scaled first: no square can overflow or become 0, and equal values give exactly 0 in spite of rounding.
    stretched = _stretched(values)
    centred = stretched - stretched.mean()
    deviation = np.sqrt((centred**2).mean())
    return np.asarray(centred / deviation if deviation > 0 else stretched)
