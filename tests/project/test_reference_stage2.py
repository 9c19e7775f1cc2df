"""The slow oracles of stage 2 themselves, against another algebra or exact arithmetic."""

import itertools
import math
import statistics

import numpy as np
import pytest

from tests.support.oracles import reference
from tests.support.oracles import reference_stage2 as oracle

SHAPES = [(7, 3), (12, 5), (9, 14), (30, 4), (8, 1)]


def samples(seed, n, d, shift=1.0, least=3):
    """Correlated dimensions of unlike scales, two classes of at least `least`."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) < generator.integers(least, n - least + 1)).astype(int)
    head = generator.normal(size=(n, d)) @ generator.normal(size=(d, d)) + shift * labels[:, None]
    return head * 2.0 ** generator.integers(-3, 4, d), labels


@pytest.mark.parametrize(("n", "d"), [(7, 3), (12, 5), (6, 9), (8, 1)])
def test_the_ratio_along_the_pseudo_inverse_is_the_exact_quadratic_form(n, d):
    head, labels = samples(n + d, n, d)
    assert oracle.code_lda(head, labels) == pytest.approx(oracle.exact_code_lda(head, labels), rel=1e-7)


def test_a_denominator_below_1e_9_is_no_ratio():
    """Means 1e-8 apart, classes constant: w = 1e-2, w' Sw w = 1e-10."""
    head, labels = np.array([[0.0], [0.0], [1e-8], [1e-8]]), np.array([0, 0, 1, 1])
    assert oracle.code_lda(head, labels) == 0
    assert oracle.code_lda(head * 10, labels) == pytest.approx(1e-8)


def test_divergences_of_known_gaussians_in_one_dimension():
    """LedoitWolf leaves a single dimension as it is: variances 1 and 4, means 3 apart."""
    head = np.array([[-1.0], [1.0], [1.0], [5.0]])
    expected = ((1 / 4 + 9 / 4 - 1 + math.log(4)) / 2 + (4 + 9 - 1 - math.log(4)) / 2) / 2
    assert oracle.code_kl(head, np.array([0, 0, 1, 1])) == pytest.approx(expected, rel=1e-9)
    assert reference.symmetric_kl(head, np.array([0, 0, 1, 1])) == pytest.approx(expected, rel=1e-12)


def test_two_samples_of_many_dimensions_reach_the_cap():
    head, labels = samples(5, 8, 4)
    labels[:] = [1, 1, 0, 0, 0, 0, 0, 0]
    assert oracle.code_kl(head, labels) == 1e6


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_the_discrepancy_of_the_code_pair_by_pair(n, d):
    head, labels = samples(n, n, d)
    head[1] = head[0]
    squared = [math.dist(x, y) ** 2 for x, y in itertools.product(head, repeat=2)]
    gamma = 1 / (2 * statistics.median(value for value in squared if value > 0))
    signs = np.where(labels == 1, 1 / labels.sum(), -1 / (1 - labels).sum())
    kernel = np.exp(-gamma * np.array(squared).reshape(n, n))
    assert oracle.code_mmd(head, labels) == pytest.approx(signs @ kernel @ signs, rel=1e-9, abs=1e-14)
    assert oracle.code_mmd(np.ones((n, d)), labels) == oracle.code_nmi(np.ones((n, d)), labels) == 0


@pytest.mark.parametrize("convention", ["paper", "headhunt-code"])
def test_the_ranking_of_heads_is_the_other_oracles(convention):
    generator, labels = np.random.default_rng(0), np.arange(14) % 2
    features = {key: generator.normal(size=(2, 3, 14, 4)) + labels[:, None] for key in "abc"}
    metrics = {}
    for key, of_prompt in features.items():
        heads = [oracle.head_metrics(of_prompt[k], labels, 1, convention) for k in np.ndindex(2, 3)]
        metrics[key] = {name: np.array([one[name] for one in heads]).reshape(2, 3) for name in oracle.HEAD_METRICS}
    scores, chosen = oracle.rhi(features, labels, 1, convention)
    for column, expected in enumerate(reference.robust_saliency(metrics, 0.5)):
        np.testing.assert_allclose([scores[k][column] for k in np.ndindex(2, 3)], expected.ravel(), atol=1e-14)
    assert chosen == sorted(scores, key=lambda head: -scores[head][2])[:5]
