"""The slow oracles of stage 2 themselves, against a second library, another algebra or exact arithmetic."""

import itertools
import math
import statistics
import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import permutation_test, zscore
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from tests.support.oracles import reference
from tests.support.oracles import reference_scorers as scorers
from tests.support.oracles import reference_stage2 as oracle

SHAPES = [(7, 3), (12, 5), (9, 14), (30, 4), (8, 1)]


def samples(seed, n, d, shift=1.0, least=3):
    """Correlated dimensions of unlike scales, two classes of at least ``least``."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) < generator.integers(least, n - least + 1)).astype(int)
    head = generator.normal(size=(n, d)) @ generator.normal(size=(d, d)) + shift * labels[:, None]
    return head * 2.0 ** generator.integers(-3, 4, d), labels


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_both_algebras_of_the_paper_agree(n, d):
    head, labels = samples(n * d, n, d)
    draws = np.random.default_rng(3).random((10, 2))
    assert oracle.paper_lda(head, labels) == pytest.approx(reference.lda(head, labels), rel=1e-9)
    assert oracle.paper_kl(head, labels) == pytest.approx(reference.symmetric_kl(head, labels), rel=1e-9)
    squared = reference.squared_discrepancy(head, labels)
    assert oracle.paper_mmd(head, labels) ** 2 == pytest.approx(squared, rel=1e-9, abs=1e-14)
    information = reference.clustering_nmi(head, labels, draws)
    assert oracle.paper_nmi(head, labels, draws) == pytest.approx(information, rel=1e-9, abs=1e-14)


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
    assert oracle.paper_kl(head, np.array([0, 0, 1, 1])) == pytest.approx(expected, rel=1e-12)


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


@pytest.mark.parametrize("seed", range(3))
def test_layer_metrics_are_those_of_the_other_oracle(seed):
    layer, labels = samples(seed, 20, 6)
    layer[:, 2] = 0.1
    layer[labels == 1, 3] = 0.7
    mine = oracle.layer_metrics(layer, labels)
    assert mine["gaussian_kl"] == pytest.approx(reference.gaussian_kl(layer, labels)[0], rel=1e-12)
    assert mine["discriminant_ratio"] == pytest.approx(reference.discriminant_ratio(layer, labels), rel=1e-12)
    assert mine["binned_entropy"] == pytest.approx(reference.binned_entropy(layer), rel=1e-12)
    counts = [np.histogram(column, 32)[0] for column in layer.T]
    bits = [-sum(c / 20 * math.log2(c / 20) for c in count if c) for count in counts]
    assert mine["binned_entropy"] == pytest.approx(np.mean(bits), rel=1e-12)


def test_layer_saliency_is_the_sum_of_scipys_z_scores():
    layers, labels = zip(*(samples(seed, 20, 4, shift=seed) for seed in range(5)), strict=True)
    total, chosen = oracle.dlsp(layers, labels[0])
    metrics = [oracle.layer_metrics(layer, labels[0]) for layer in layers]
    expected = sum(zscore([one[name] for one in metrics]) for name in oracle.LAYER_METRICS)
    np.testing.assert_allclose(total, expected, rtol=1e-10, atol=1e-12)
    assert chosen == 1 + np.argmax(expected)


def test_equal_layers_choose_the_first_and_equal_heads_the_lowest():
    head, labels = samples(1, 12, 3)
    assert oracle.dlsp([head] * 4, labels) == ([0.0] * 4, 1)
    _, chosen = oracle.rhi({"a": np.tile(head, (2, 3, 1, 1))}, labels, 0, top=4)
    assert chosen == [(0, 0), (0, 1), (0, 2), (1, 0)]


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


def test_silhouettes_from_their_meaning():
    layer, labels = samples(2, 9, 3)
    values = []
    for k, row in enumerate(layer):
        own, other = (
            [math.dist(row, layer[j]) for j in range(9) if j != k and bool(labels[j] == labels[k]) == same]
            for same in (True, False)
        )
        a, b = statistics.fmean(own), statistics.fmean(other)
        values.append((b - a) / max(a, b))
    assert oracle.silhouettes([layer], labels) == pytest.approx([statistics.fmean(values)])


def test_p_values_are_scipys():
    """scipy draws labellings of its own; the p-value of its own null is what is compared."""
    generator = np.random.default_rng(4)
    normal, anomalous = generator.normal(size=9), generator.normal(size=8) + 0.7
    found = permutation_test(
        (anomalous, normal),
        lambda a, n, axis: a.mean(axis=axis) - n.mean(axis=axis),
        vectorized=True,
        n_resamples=99,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    values = found.null_distribution.reshape(-1, 1)
    assert oracle.single_p_values([found.statistic], values) == [found.pvalue]
    assert oracle.family_p_values([found.statistic], values) == [found.pvalue]
    two = np.array([[1.0, 5.0], [3.0, 2.0], [0.0, 0.0]])
    assert oracle.single_p_values([3.0, 3.0], two) == [0.5, 0.5]
    assert oracle.family_p_values([3.0, 6.0], two) == [0.75, 0.25]


def test_shares_of_selections():
    shares = oracle.selection_shares([[(0, 1), (2, 3)], [(2, 3), (4, 5)], [(2, 3), (0, 1)], [(9, 9), (2, 3)]])
    assert shares == {(0, 1): 0.5, (2, 3): 1.0, (4, 5): 0.25, (9, 9): 0.25}


def test_a_perceptron_is_scikit_learns():
    features, labels = samples(6, 40, 5)
    scaler = StandardScaler().fit(features)
    model = MLPClassifier((7, 3), max_iter=30, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaler.transform(features), labels)
    found = scorers.perceptron(features, scaler.mean_, scaler.scale_, model.coefs_, model.intercepts_)
    np.testing.assert_allclose(found, model.predict_proba(scaler.transform(features))[:, 1], rtol=1e-12)


@pytest.mark.parametrize("C", [0.1, 10.0])
def test_the_logistic_minimum_is_scikit_learns_to_its_tolerance(C):
    features, labels = samples(7, 40, 3)
    model = scorers.logistic(features, labels, C=C, tolerance=1e-8)[-1]
    coef, intercept = scorers.logistic_minimum(features, labels, C=C)
    np.testing.assert_allclose([*coef, intercept], [*model.coef_[0], model.intercept_[0]], rtol=1e-5)
    rows, signs = StandardScaler().fit_transform(features), 2 * labels - 1
    errors = 1 / (1 + np.exp(signs * (rows @ coef + intercept)))
    np.testing.assert_allclose(coef, C * (signs * errors) @ rows, rtol=1e-9, atol=1e-12)
    assert abs(np.sum(signs * errors)) < 1e-12


def test_a_support_vector_machine_minimises_the_squared_hinge():
    features, labels = samples(8, 30, 2)
    model = scorers.linear_svm(features, labels, tolerance=1e-10)[-1]
    found = [*model.coef_[0], model.intercept_[0]]

    def objective(x):
        return scorers.svm_objective(features, labels, x[:-1], x[-1])

    best = minimize(objective, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    assert objective(found) == pytest.approx(best.fun, rel=1e-9)


def test_distances_by_hand():
    training, labels = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 3.0], [6.0, 3.0]]), [0, 0, 1, 1]
    found = scorers.distance_scores([[1.0, 0.0], [5.0, 3.0], [1.0, 3.0]], training, labels, standardised=False)
    assert found.tolist() == [0.0, 1.0, 9 / 25]


def test_ridge_scores_are_the_other_solvers_and_their_auc_scikit_learns():
    features, labels = samples(9, 40, 6)
    folds = np.arange(40) % 4
    won = pairs = 0
    for fold in range(4):
        inside, out = folds != fold, folds == fold
        scores = scorers.ridge_scores(features[inside], labels[inside], features[out], C=0.5)
        scaler = StandardScaler().fit(features[inside])
        model = RidgeClassifier(alpha=2.0).fit(scaler.transform(features[inside]), labels[inside])
        np.testing.assert_allclose(scores, model.decision_function(scaler.transform(features[out])), rtol=1e-9)
        product = labels[out].sum() * (1 - labels[out]).sum()
        won += product * roc_auc_score(labels[out], scores)
        pairs += product
    assert scorers.cross_fitted_auc(features, labels, folds, C=0.5) == pytest.approx(won / pairs, rel=1e-12)
    assert scorers.concordant_pairs(np.array([1.0, 1.0, 2.0]), np.array([1, 0, 0])) == (0.5, 2)


def test_exact_f1_and_the_bootstrap_are_scikit_learns_on_frames():
    generator = np.random.default_rng(11)
    scores, groups = generator.integers(0, 5, 30) / 4, np.repeat(np.arange(6), 5)
    positives, negatives = generator.integers(0, 4, (2, 30))
    truth = np.concatenate([np.repeat([1, 0], pair) for pair in zip(positives, negatives, strict=True)])
    frames = np.repeat(scores, positives + negatives)
    cells, best = scorers.best_cell(scores, positives, negatives, groups, [0.0, 1.0], [0.25, 0.5, 1.0])
    for threshold in (0.25, 0.5, 1.0):
        assert float(cells[0.0, threshold]) == pytest.approx(f1_score(truth, frames > threshold), rel=1e-12)
    assert cells[best] == max(cells.values())
    auc, precision = scorers.bootstrapped(scores, positives, negatives, groups, n_resamples=1, seed=2)[0]
    drawn = np.random.default_rng(2).integers(6, size=6)
    units = np.concatenate([np.flatnonzero(groups == video) for video in drawn])
    repeated = np.concatenate(
        [np.repeat([1, 0], pair) for pair in zip(positives[units], negatives[units], strict=True)]
    )
    frames = np.repeat(scores[units], (positives + negatives)[units])
    assert auc == pytest.approx(roc_auc_score(repeated, frames), rel=1e-12)
    assert precision == pytest.approx(average_precision_score(repeated, frames), rel=1e-12)
