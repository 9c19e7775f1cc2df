"""Stage 2 from features to a selection against its slow oracles, on heads and layers of every awkward kind."""

import numpy as np
import pytest

from tests.support import profiles
from tests.support.oracles import reference
from tests.support.oracles import reference_stage2 as oracle
from tests.support.samples.heads import each
from vadprobe.analyze.saliency.heads import head_metrics
from vadprobe.analyze.saliency.kernels.reference_code import reference_code_metrics
from vadprobe.analyze.saliency.layers import layer_metrics
from vadprobe.analyze.saliency.null.heads import head_null
from vadprobe.analyze.saliency.null.layers import layer_null
from vadprobe.analyze.saliency.ranking import dlsp, rhi
from vadprobe.analyze.saliency.selection import select_heads, select_layer

SEED = 11
KINDS = ("plain", "offset", "constant dimensions", "duplicates", "huge", "tiny", "mixed scales", "unbalanced")
SHAPES = ((8, 3), (9, 30), (16, 16), (24, 5), (30, 2), (12, 64))


def heads_of(kind, n, d, seed=0, heads=(2, 2), least=3):
    """(features (blocks, heads, n, d), labels) of a kind; every head is separated more or less."""
    generator = np.random.default_rng([seed, n, d, KINDS.index(kind)])
    n_anomalous = least if kind == "unbalanced" else generator.integers(least, n - least + 1)
    labels = generator.permutation(np.arange(n) < n_anomalous).astype(int)
    mixing = generator.normal(size=(*heads, d, d)) + 2 * np.eye(d)
    shift = generator.uniform(0, 3, (*heads, 1, 1)) * generator.normal(size=(*heads, 1, d))
    features = generator.normal(size=(*heads, n, d)) @ mixing + labels[:, None] * shift
    if kind == "offset":
        features += 1000.0
    if kind == "constant dimensions":
        features[..., :: max(2, d // 3)] = 0.1
    if kind == "duplicates":
        for label in (0, 1):
            first, second = np.flatnonzero(labels == label)[:2]
            features[..., second, :] = features[..., first, :]
    scales = {"huge": 1e5, "tiny": 1e-5, "mixed scales": 10.0 ** generator.integers(-2, 3, d)}
    return features * scales.get(kind, 1.0), labels


def one_by_one(function, features, *arguments):
    """Metric to (leading axes): the oracle applied to one head or layer after the other."""
    found = [function(features[index], *arguments) for index in np.ndindex(features.shape[:-2])]
    return {name: np.reshape([one[name] for one in found], features.shape[:-2]) for name in found[0]}


def some_cases(*seeds):
    """Every kind and every shape once for each seed; in the long profile all of their combinations."""
    rows = {row for seed in seeds for row in profiles.thinned(KINDS, SHAPES, strength=1, seed=seed)}
    return [(kind, n, d) for kind, (n, d) in sorted(rows, key=lambda row: (KINDS.index(row[0]), row[1]))]


cases = pytest.mark.parametrize(("kind", "n", "d"), [(kind, n, d) for kind in KINDS for n, d in SHAPES])
heads_cases = pytest.mark.parametrize(("kind", "n", "d"), some_cases(0, 1))  # their oracles take long
plain_shapes = [("plain", n, d) for n, d in ((10, 40), (12, 128), (6, 1), (60, 2), (300, 5))]
more_cases = pytest.mark.parametrize(("kind", "n", "d"), some_cases(0, 1) + plain_shapes)


@heads_cases
def test_head_metrics_of_the_paper(kind, n, d):
    features, labels = heads_of(kind, n, d)
    found, expected = head_metrics(features, labels, SEED), one_by_one(oracle.head_metrics, features, labels, SEED)
    assert tuple(found) == oracle.HEAD_METRICS
    for name in ("lda", "symmetric_kl"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-8, err_msg=name)
    squared = expected["maximum_mean_discrepancy"] ** 2
    np.testing.assert_allclose(found["maximum_mean_discrepancy"] ** 2, squared, rtol=1e-8, atol=1e-14)
    information = expected["cluster_information"]
    np.testing.assert_allclose(found["cluster_information"], information, rtol=1e-8, atol=1e-14)


@more_cases
def test_head_metrics_of_the_public_code(kind, n, d):
    """A ratio is as exact as the scatter's condition lets the oracle's pseudo-inverse be; from 1e12 on it is not."""
    features, labels = heads_of(kind, n, d)
    found = head_metrics(features, labels, SEED, "headhunt-code")
    expected = one_by_one(oracle.head_metrics, features, labels, SEED, "headhunt-code")
    assert {name: values.tolist() for name, values in found.items()} == {
        name: values.tolist() for name, values in reference_code_metrics(features, labels).items()
    }
    for head in np.ndindex(2, 2):
        condition = np.linalg.cond(oracle.scatter(features[head], labels))
        if condition < 1e12:
            tolerance = max(1e-8, 1e-15 * condition)
            assert found["lda"][head] == pytest.approx(expected["lda"][head], rel=tolerance)
    np.testing.assert_allclose(found["symmetric_kl"], expected["symmetric_kl"], rtol=1e-8, atol=1e-13)
    for name in ("maximum_mean_discrepancy", "cluster_information"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-8, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0, 10.0])
@pytest.mark.parametrize(("n", "d"), [(8, 3), (7, 9), (12, 5), (10, 1)])
def test_the_ratio_of_the_public_code_by_exact_fractions(n, d, scale):
    features, labels = heads_of("plain", n, d, seed=3)
    found = head_metrics(features * scale, labels, SEED, "headhunt-code")["lda"]
    for head in np.ndindex(2, 2):
        assert found[head] == pytest.approx(oracle.exact_code_lda(features[head] * scale, labels), rel=1e-8)


@pytest.mark.parametrize(("scale", "vanishes"), [(1e-9, True), (1e-6, False)])
def test_the_ratio_of_the_public_code_is_zero_below_its_least_denominator(scale, vanishes):
    features, labels = heads_of("plain", 10, 4)
    found = head_metrics(features * scale, labels, SEED, "headhunt-code")["lda"]
    expected = one_by_one(oracle.head_metrics, features * scale, labels, SEED, "headhunt-code")["lda"]
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=0)
    assert (found == 0).all() == vanishes


@cases
def test_layer_metrics_by_exact_moments(kind, n, d):
    features, labels = heads_of(kind, n, d)
    found, expected = layer_metrics(features, labels), one_by_one(oracle.layer_metrics, features, labels)
    for name in oracle.LAYER_METRICS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-8, atol=1e-14, err_msg=name)


PROMPTS = ("coarse", "detailed", "question", "short")


def prompts_of(seed, n=18, d=6, heads=(3, 4), informative=3.0, prompts=PROMPTS):
    """Prompt to (blocks, heads, n, d) and labels: three heads tell the classes apart, less so under some prompts."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % 3 == 0).astype(int)
    features = {}
    for prompt in prompts:
        of_prompt = generator.normal(size=(*heads, n, d)) * 10.0 ** generator.uniform(-1, 1, (*heads, 1, 1))
        for head in ((0, 1), (1, 3), (2, 0)):
            of_prompt[head] += informative * generator.uniform(0.3, 1) * labels[:, None] * of_prompt[head].std()
        features[prompt] = of_prompt
    return features, labels


def measured(features, labels, convention="paper", without=()):
    """Compute what `rhi` ranks, by the kernels, block by block or at once."""
    return {
        prompt: {k: v for k, v in head_metrics(of_prompt, labels, SEED, convention).items() if k not in without}
        for prompt, of_prompt in features.items()
    }


conventions = pytest.mark.parametrize("convention", ["paper", "headhunt-code"])


@pytest.mark.parametrize(
    ("convention", "of_case"),
    profiles.thinned(["paper", "headhunt-code"], [(0, 18, 6), (1, 12, 20), (2, 30, 3)], strength=1),
)
def test_robust_saliency_from_raw_features(convention, of_case):
    features, labels = prompts_of(*of_case, prompts=PROMPTS if profiles.LONG else PROMPTS[:2])
    found = rhi(measured(features, labels, convention))
    scores, chosen = oracle.rhi(features, labels, SEED, convention)
    tolerance = 1e-8 if convention == "paper" else 1e-6  # a pseudo-inverse of the oracle loses digits
    for column, values in enumerate((found.mean, found.instability, found.robust)):
        expected = [scores[head][column] for head in np.ndindex(3, 4)]
        np.testing.assert_allclose(values.ravel(), expected, rtol=0, atol=tolerance)  # metrics are scaled onto [0, 1]
    assert list(found.heads) == chosen
    assert list(select_heads(measured(features, labels, convention)).indices) == chosen


@conventions
def test_equal_heads_are_chosen_by_their_position(convention):
    features, labels = prompts_of(3, prompts=PROMPTS[:2])
    for of_prompt in features.values():
        of_prompt[2, 2] = of_prompt[0, 3] = of_prompt[1, 3]
    scores, chosen = oracle.rhi(features, labels, SEED, convention)
    assert scores[0, 3] == scores[1, 3] == scores[2, 2]
    found = rhi(measured(features, labels, convention)).heads
    assert list(found) == chosen
    assert [head for head in found if head in {(0, 3), (1, 3), (2, 2)}] == [(0, 3), (1, 3), (2, 2)]


@conventions
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_chooses_no_head(convention, seed):
    """Without the clusters, whose starts depend on it."""
    features, labels = prompts_of(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    shuffled = {prompt: of_prompt[..., order, :] for prompt, of_prompt in features.items()}
    without = ["cluster_information"]
    found = rhi(measured(features, labels, convention, without))
    moved = rhi(measured(shuffled, labels[order], convention, without))
    assert moved.heads == found.heads
    np.testing.assert_allclose(moved.robust, found.robust, rtol=1e-8, atol=1e-10)


@conventions
def test_the_order_of_rows_chooses_no_head_where_any_start_finds_the_clusters(convention):
    """Every head has two distant clusters, which the classes follow more or less: all four metrics take part."""
    generator, labels = np.random.default_rng(5), np.arange(20) % 2
    features = {}
    for prompt in ("coarse", "detailed"):
        followed = np.where(generator.random((2, 4, 20)) < np.linspace(0, 0.5, 4)[:, None], 1 - labels, labels)
        features[prompt] = generator.normal(size=(2, 4, 20, 5)) + 100 * followed[..., None]
    found = rhi(measured(features, labels, convention))
    order = generator.permutation(20)
    moved = rhi(measured({k: v[..., order, :] for k, v in features.items()}, labels[order], convention))
    assert moved.heads == found.heads
    np.testing.assert_allclose(moved.robust, found.robust, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("seed", "n", "d"), [(0, 18, 6), (1, 8, 30), (2, 40, 3)])
def test_layer_saliency_from_raw_states(seed, n, d):
    features, labels = heads_of("plain", n, d, seed, heads=(7,))
    features[3] = features[5]
    total = reference.layer_saliency(one_by_one(oracle.layer_metrics, features, labels))
    chosen = 1 + int(np.argmax(total))
    metrics = layer_metrics(features, labels)
    scores, _ = dlsp(metrics)
    np.testing.assert_allclose(scores, total, rtol=1e-8, atol=1e-10)
    assert select_layer(metrics).indices == ((chosen,),)
    order = np.random.default_rng(seed).permutation(n)
    shuffled = layer_metrics(features[:, order], labels[order])
    assert select_layer(shuffled).indices == ((chosen,),)
    np.testing.assert_allclose(dlsp(shuffled)[0], scores, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("d", [2, 5, 30])
def test_two_samples_of_a_class(d):
    """They have no Ledoit-Wolf covariance in more than one dimension: the paper's divergence is unknown, not 0."""
    features, labels = heads_of("unbalanced", 12, d, least=2)
    found = head_metrics(features, labels, SEED)
    assert np.isnan(found["symmetric_kl"]).all()
    np.testing.assert_allclose(found["lda"], each(reference.lda, features, labels), rtol=1e-8)
    squared = each(reference.squared_discrepancy, features, labels)
    np.testing.assert_allclose(found["maximum_mean_discrepancy"] ** 2, squared, rtol=1e-8, atol=1e-14)
    by_code = head_metrics(features, labels, SEED, "headhunt-code")
    assert (
        by_code["symmetric_kl"]
        == one_by_one(oracle.head_metrics, features, labels, SEED, "headhunt-code")["symmetric_kl"]
    ).all()
    layers, expected = layer_metrics(features, labels), one_by_one(oracle.layer_metrics, features, labels)
    for metric in oracle.LAYER_METRICS:
        np.testing.assert_allclose(layers[metric], expected[metric], rtol=1e-8, err_msg=metric)


def relabelled(labels, count, seed=0):
    """Labellings of single samples with as many anomalous ones; the first is the observed one."""
    generator = np.random.default_rng(seed)
    return np.array([labels, *(generator.permutation(labels) for _ in range(count - 1))])


@pytest.mark.parametrize(
    ("convention", "of_case"),
    profiles.thinned(
        ["paper", "headhunt-code"],
        [
            ("plain", 12, 4),
            ("plain", 10, 24),
            ("offset", 14, 6),
            ("duplicates", 16, 16),
            ("constant dimensions", 11, 20),
            ("unbalanced", 15, 5),
            ("mixed scales", 13, 3),
        ],
        strength=1,
    ),
)
def test_head_metrics_of_every_labelling_from_scratch(convention, of_case):
    features, labels = heads_of(*of_case, heads=(2,))
    labelings = relabelled(labels, 6 if profiles.LONG else 3)
    found = head_null(features, labelings, SEED, convention)
    expected = oracle.null(features, labelings, lambda head, y: oracle.head_metrics(head, y, SEED, convention))
    assert tuple(found) == oracle.HEAD_METRICS
    conditions = np.array([[np.linalg.cond(oracle.scatter(head, y)) for head in features] for y in labelings])
    power = {"maximum_mean_discrepancy": 2} if convention == "paper" else {}
    for name, values in expected.items():
        got, wanted = found[name] ** power.get(name, 1), values ** power.get(name, 1)
        lost = conditions * 1e-15 if name == "lda" and convention == "headhunt-code" else 0.0
        assert (np.abs(got - wanted) <= np.maximum(1e-8, lost) * np.abs(wanted) + 1e-13).all(), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(9, 30), (24, 5)])
def test_layer_metrics_of_every_labelling_from_scratch(kind, n, d):
    features, labels = heads_of(kind, n, d, heads=(2,))
    labelings = relabelled(labels, 5)
    found, expected = layer_null(features, labelings), oracle.null(features, labelings, oracle.layer_metrics)
    for name in oracle.LAYER_METRICS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-8, atol=1e-14, err_msg=name)
