"""Cross-validation of one probe for each layer or head, on its own features.

Unlike saliency, each score comes from a fit that did not see the sample's video.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vadprobe.analyze.calibration.folds import video_folds
from vadprobe.analyze.calibration.labels import checked_labels, checked_units
from vadprobe.analyze.probes.unit_solvers import logistic, ridge

_BLOCK_BYTES = 1 << 24
"""Working memory of a block of units in bytes; larger blocks leave the processor's cache and are slower."""

_SOLVERS = {"ridge": ridge, "logistic": logistic}


@dataclass(frozen=True, eq=False)
class UnitProbing:
    """Results of cross-validated probes of every unit (layer or head), float64.

    Attributes:
        scores: (..., n), each sample's decision value by the fit without its fold; above 0 means anomalous.
        auc: (...,), fraction of (anomalous, normal) pairs in the right order, ties counting half. Only pairs within a
            fold are counted, since scores of different folds come from different fits. So the expectation for a unit
            without signal is exactly 1/2; pooled over folds it would be less.
    """

    auc: np.ndarray
    scores: np.ndarray


def probe_units(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray, *, probe: Literal["ridge", "logistic"] = "ridge"
) -> UnitProbing:
    """Score each fold's samples by a probe of each unit, fitted on the other folds with penalty C = 1.

    Features are standardised with the mean and deviation of the training folds; a feature that is constant there has no
    effect. The AUC of a unit that was chosen as the best of many is still too high: compare it with the best AUC under
    permuted labels.

    Args:
        features: (..., n, d), any real dtype, finite; computed in float64. n < d is fine.
        labels: (n,) bool or int, 1 = anomalous, at least two of each class.
        folds: (n,) integers, the fold of each sample, from `folds.video_folds`: each fold has both classes and whole
            videos, so that no clip is scored by a fit that saw another clip of its video.
        probe: "ridge" (closed form, labels +1 and -1) or "logistic" (the papers' probe, slower); see
            `.unit_solvers`.

    Returns:
        Scores and AUC of every unit, equal bit by bit whatever blocks the leading axes are cut into. A unit whose
        samples are all equal has AUC 1/2.

    Raises:
        VadprobeError: if shapes or labels do not fit, a feature is not finite, or a logistic fit does not converge.
    """
    features = np.asarray(features)
    units = checked_units(features)
    n, dimension = units.shape[1:]
    anomalous = checked_labels(labels, n)
    held_out = [folds == number for number in np.unique(folds)]
    step = max(1, _BLOCK_BYTES // (8 * (3 * n * dimension + 4 * min(n, dimension) ** 2)))
    scores = np.empty(units.shape[:2])
    for start in range(0, len(units), step):
        values = _unit_range(units[start : start + step])
        for mine in held_out:
            scores[start : start + step, mine] = _score_fold(values, anomalous, mine, probe)
    leading = features.shape[:-2]
    return UnitProbing(
        auc=_concordance(scores, anomalous, held_out).reshape(leading),
        scores=scores.reshape(*leading, n),
    )


def cross_fitted_auc(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int
) -> np.ndarray:
    """Return the AUC of `probe_units` by ridge on folds of whole videos.

    Args:
        features: (..., n, d), finite.
        labels: (n,) bool or int, 1 = anomalous.
        groups: (n,) integers, the video of each sample.
        n_folds, seed: of `folds.video_folds`.

    Returns:
        (...,) float64 in [0, 1]; 1/2 is the expectation of a unit without signal.

    Raises:
        VadprobeError: as `folds.video_folds` and `probe_units`.
    """
    return probe_units(features, labels, video_folds(labels, groups, n_folds, seed)).auc


def _unit_range(units: np.ndarray) -> np.ndarray:
    """Return float64 features divided by a power of two each: no digit changes, no square overflows or becomes 0."""
    values = units.astype(np.float64)
    return np.asarray(np.ldexp(values, -np.frexp(np.abs(values).max(axis=1, keepdims=True))[1]))


def _score_fold(values: np.ndarray, anomalous: np.ndarray, mine: np.ndarray, probe: str) -> np.ndarray:
    """Score the samples `mine` by fits on the others: decision values (units, m)."""
    training = values.compress(~mine, axis=1)
    # A sample is subtracted first, so a feature that is constant in training becomes exactly 0 in spite of rounding.
    first = training[:, :1]
    training = training - first
    mean = training.mean(axis=1, keepdims=True)
    training -= mean
    scale = np.sqrt((training**2).mean(axis=1, keepdims=True))
    scale[scale == 0] = 1.0
    training /= scale
    weights, intercepts = _SOLVERS[probe](training, anomalous[~mine])
    scored = (values.compress(mine, axis=1) - first - mean) / scale
    # Computed sample by sample, so that equal samples have equal scores.
    scored *= weights[:, None]
    return np.asarray(scored.sum(axis=2) + intercepts[:, None])


def _concordance(scores: np.ndarray, anomalous: np.ndarray, held_out: list[np.ndarray]) -> np.ndarray:
    """Return the fraction of pairs within folds in the right order, (units,), from integer counts of half pairs."""
    from scipy.stats import rankdata

    concordant, pairs = np.zeros(len(scores)), 0
    for mine in held_out:
        ranks = rankdata(scores.compress(mine, axis=1), axis=1)
        positives = anomalous[mine]
        n_positives = int(positives.sum())
        concordant += ranks.compress(positives, axis=1).sum(axis=1) - n_positives * (n_positives + 1) / 2
        pairs += n_positives * (len(positives) - n_positives)
    return np.asarray(concordant / pairs)
