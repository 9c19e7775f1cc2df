"""Fisher's ratio of every layer or head, by which SteerVAD chooses heads."""

import numpy as np

from vadprobe.analyze.calibration.labels import checked_labels, checked_units


def fisher_ratio(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return `|mu_a - mu_n|^2 / (tr S_a + tr S_n)`: distance of the class means over the spread within the classes.

    S_a and S_n are the classes' covariances, divided by their numbers of samples. No covariance is inverted, so few
    samples are enough; in return, dimensions of large scale dominate the others. Shifting, rotating or scaling a head's
    features changes nothing.

    Args:
        features: (..., n, d), any real dtype, finite; computed in float64.
        labels: (n,) 1 (anomalous) or 0 (normal), at least two of each class.

    Returns:
        (...,) float64 >= 0; 0 where the means are equal, NaN where both classes are constant and the means differ.

    Raises:
        VadprobeError: if shapes or labels do not fit, or a feature is not finite.
    """
    features = np.asarray(features)
    units = checked_units(features)
    anomalous = checked_labels(labels, units.shape[1])
    result = np.empty(len(units))
    for number, unit in enumerate(units):  # one at a time, since a block of layers in float64 would not fit the cache
        # A sample is subtracted first: equal samples become exactly 0, and a large common offset costs no digits.
        values = unit.astype(np.float64) - unit[:1].astype(np.float64)
        values = np.ldexp(values, -int(np.frexp(np.abs(values).max())[1]))
        means = [values[of].mean(axis=0) for of in (anomalous, ~anomalous)]
        spread = sum(
            ((values[of] - mean) ** 2).sum() / of.sum() for of, mean in zip((anomalous, ~anomalous), means, strict=True)
        )
        distance = ((means[0] - means[1]) ** 2).sum()
        result[number] = distance / spread if spread > 0 else (0.0 if distance == 0 else np.nan)
    return result.reshape(features.shape[:-2])
