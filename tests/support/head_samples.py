"""Random heads, and a definition applied to each."""

import numpy as np


def samples(seed, heads=(2, 3), n=12, d=5, dtype=np.float64, least=3):
    """Heads of correlated dimensions, separated more or less; (features, labels)."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(n, dtype=int)
    labels[generator.permutation(n)[: generator.integers(least, n - least + 1)]] = 1
    mixing = generator.normal(size=(*heads, d, d)) * 10.0 ** generator.uniform(-1, 1, (*heads, 1, d))
    shift = labels[:, None] * generator.normal(size=(*heads, 1, d)) * generator.uniform(0, 4, (*heads, 1, 1))
    features = generator.normal(size=(*heads, n, d)) @ mixing + shift * np.sqrt(d) + generator.normal()
    return features.astype(dtype), labels


def each(function, features, *arguments):
    """The oracle applied to one head at a time."""
    return np.array([function(features[index], *arguments) for index in np.ndindex(features.shape[:-2])]).reshape(
        features.shape[:-2]
    )
