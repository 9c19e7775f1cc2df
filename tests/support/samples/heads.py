"""Random heads, a definition applied to each, and random metrics of layers and heads."""

import numpy as np
from hypothesis import strategies as st


def samples(seed, heads=(2, 3), n=12, d=5, dtype=np.float64, least=3):
    """Return (features, labels): heads of correlated dimensions, separated more or less."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(n, dtype=int)
    labels[generator.permutation(n)[: generator.integers(least, n - least + 1)]] = 1
    mixing = generator.normal(size=(*heads, d, d)) * 10.0 ** generator.uniform(-1, 1, (*heads, 1, d))
    shift = labels[:, None] * generator.normal(size=(*heads, 1, d)) * generator.uniform(0, 4, (*heads, 1, 1))
    features = generator.normal(size=(*heads, n, d)) @ mixing + shift * np.sqrt(d) + generator.normal()
    return features.astype(dtype), labels


def each(function, features, *arguments):
    """Apply an oracle to one head at a time."""
    return np.array([function(features[index], *arguments) for index in np.ndindex(features.shape[:-2])]).reshape(
        features.shape[:-2]
    )


def layer_values(seed, layers):
    """Return metrics of layers of any magnitude, by name."""
    generator = np.random.default_rng(seed)
    names = ("gaussian_kl", "discriminant_ratio", "binned_entropy")
    return {name: generator.normal(size=layers) * 10.0 ** generator.integers(-6, 6) for name in names}


def head_values(seed, prompts=3, blocks=4, heads=5):
    """Return metrics of heads of any magnitude, by prompt and name."""
    generator = np.random.default_rng(seed)
    names = ("lda", "symmetric_kl", "maximum_mean_discrepancy", "cluster_information")
    return {
        f"prompt-{k}": {
            name: generator.gamma(2, size=(blocks, heads)) * 10.0 ** generator.integers(-6, 6) for name in names
        }
        for k in range(prompts)
    }


seeds = st.integers(0, 2**32 - 1)
layer_draws = st.builds(layer_values, seeds, st.integers(2, 40))
head_draws = st.builds(head_values, seeds, st.integers(1, 5), st.integers(1, 5), st.integers(2, 6))
