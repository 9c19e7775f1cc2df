"""DLSP and RHI against scipy and scikit-learn, their laws and ties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import profiles
from tests.support.oracles import reference
from tests.support.samples.heads import head_draws, head_values, layer_draws, layer_values
from vadprobe.analyze.saliency.heads import head_metrics
from vadprobe.analyze.saliency.layers import layer_metrics
from vadprobe.analyze.saliency.ranking import dlsp, rhi
from vadprobe.analyze.saliency.selection import select_heads, select_layer
from vadprobe.store.errors import VadprobeError

laws = profiles.laws(60)


@laws
@given(layer_draws)
def test_layer_saliency_is_the_sum_of_scipys_z_scores(metrics):
    scores, z_scores = dlsp(metrics)
    np.testing.assert_allclose(scores, reference.layer_saliency(metrics), rtol=1e-10, atol=1e-12)
    assert list(z_scores) == list(metrics)
    for values in z_scores.values():
        assert values.mean() == pytest.approx(0, abs=1e-12)
        assert values.std() == pytest.approx(1)


def test_layer_saliency_worked_example():
    """z-scores of 1, 2, 3 are -a, 0, a with a = sqrt(3/2); of 0, 0, 3 they are -b, -b, 2b with b = 1/sqrt(2)."""
    scores, _ = dlsp({"kl": np.array([1.0, 2, 3]), "entropy": np.array([3.0, 0, 0]), "flat": np.full(3, 0.1)})
    a, b = math.sqrt(1.5), math.sqrt(0.5)
    assert scores.tolist() == pytest.approx([-a + 2 * b, -b, a - b])
    assert select_layer({"kl": np.array([1.0, 2, 3])}).indices == ((3,),)


@laws
@given(layer_draws, st.floats(1e-9, 1e9), st.floats(-100, 100))
def test_a_rising_line_of_one_metric_changes_no_layer_score(metrics, scale, shift):
    moved = metrics | {
        "binned_entropy": scale * (metrics["binned_entropy"] + shift * np.ptp(metrics["binned_entropy"]))
    }
    np.testing.assert_allclose(dlsp(moved)[0], dlsp(metrics)[0], rtol=1e-7, atol=1e-9)


@laws
@given(layer_draws, st.integers(-900, 900))
def test_a_power_of_two_and_the_order_of_metrics_change_no_bit(metrics, exponent):
    moved = {name: np.ldexp(metrics[name], exponent) for name in reversed(metrics)}
    assert dlsp(moved)[0].tolist() == dlsp(metrics)[0].tolist()


@laws
@given(layer_draws, st.randoms(use_true_random=False))
def test_permuting_layers_permutes_their_scores(metrics, random):
    layers = len(metrics["gaussian_kl"])
    order = random.sample(range(layers), layers)
    shuffled, _ = dlsp({name: values[order] for name, values in metrics.items()})
    np.testing.assert_allclose(shuffled, dlsp(metrics)[0][order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e300, 5e-324])
def test_a_metric_that_is_the_same_in_every_layer_says_nothing(value):
    rising = np.arange(7.0)
    scores, z_scores = dlsp({"flat": np.full(7, value), "rising": rising})
    assert z_scores["flat"].tolist() == [0] * 7
    assert scores.tolist() == dlsp({"rising": rising})[0].tolist()


def test_the_first_of_equal_layers_is_chosen():
    metrics = {"kl": np.array([1.0, 5, 2, 5, 0])}
    assert select_layer(metrics).indices == ((2,),)
    assert select_layer({"flat": np.full(4, 0.3)}).indices == ((1,),)
    assert select_layer({"one": np.array([3.0])}).indices == ((1,),)


def test_the_count_of_floored_dimensions_is_not_ranked():
    metrics = layer_values(0, 6)
    counted = metrics | {"floored_dimensions": np.arange(6)}
    scores, z_scores = dlsp(counted)
    assert scores.tolist() == dlsp(metrics)[0].tolist()
    assert "floored_dimensions" not in z_scores


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"kl": np.array([1, math.nan, 2])}, "kl must be finite, got nan at layer 2"),
        ({"kl": np.array([1, 2, math.inf])}, "kl must be finite, got inf at layer 3"),
    ],
)
def test_layer_metrics_that_cannot_be_ranked_are_refused(metrics, message):
    with pytest.raises(VadprobeError, match=message):
        dlsp(metrics)


@laws
@given(head_draws, st.floats(0, 3))
def test_robust_saliency_is_the_definition(metrics, weight):
    found = rhi(metrics, weight, top=2)
    for values, expected in zip(
        (found.mean, found.instability, found.robust), reference.robust_saliency(metrics, weight), strict=True
    ):
        np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-12)
    best = sorted(np.ndindex(found.robust.shape), key=lambda index: (-found.robust[index], index))
    assert list(found.heads) == best[:2]
    assert (found.mean >= 0).all()
    assert (found.mean <= 1).all()


def test_robust_saliency_worked_example():
    """One metric, two prompts: scaled 0, 1/2, 1, 1/4 and 1, 1/2, 0, 3/4; means 1/2, deviations 1/2, 0, 1/2, 1/4."""
    metrics = {"a": {"lda": np.array([[0.0, 2], [4, 1]])}, "b": {"lda": np.array([[9.0, 7], [5, 8]])}}
    found = rhi(metrics, weight=0.5, top=3)
    assert found.mean.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert found.instability.tolist() == [[0.5, 0], [0.5, 0.25]]
    assert found.robust.tolist() == [[0.25, 0.5], [0.25, 0.375]]
    assert found.heads == ((0, 1), (1, 1), (0, 0))


@laws
@given(head_draws)
def test_without_weight_or_with_one_prompt_the_mean_decides(metrics):
    assert rhi(metrics, weight=0, top=1).robust.tolist() == rhi(metrics, weight=0, top=1).mean.tolist()
    prompt = next(iter(metrics))
    single = rhi({prompt: metrics[prompt]}, weight=0.5, top=1)
    assert (single.instability == 0).all()
    assert single.robust.tolist() == single.mean.tolist()


@laws
@given(head_draws, st.floats(1e-6, 1e6), st.floats(-10, 10), st.integers(0, 3))
def test_a_rising_line_of_one_metric_of_one_prompt_changes_no_robust_saliency(metrics, scale, shift, number):
    prompt = sorted(metrics)[-1]
    name = sorted(metrics[prompt])[number]
    values = metrics[prompt][name]
    moved = metrics | {prompt: metrics[prompt] | {name: scale * (values + shift * np.ptp(values))}}
    np.testing.assert_allclose(rhi(moved, top=1).robust, rhi(metrics, top=1).robust, rtol=1e-8, atol=1e-9)


@laws
@given(head_draws)
def test_the_order_of_prompts_and_metrics_changes_no_bit(metrics):
    turned = {prompt: dict(reversed(metrics[prompt].items())) for prompt in reversed(metrics)}
    assert rhi(turned, top=2).robust.tolist() == rhi(metrics, top=2).robust.tolist()


@laws
@given(head_draws, st.randoms(use_true_random=False))
def test_permuting_blocks_permutes_robust_saliency(metrics, random):
    blocks = len(next(iter(metrics["prompt-0"].values())))
    order = random.sample(range(blocks), blocks)
    shuffled = {p: {name: values[order] for name, values in of.items()} for p, of in metrics.items()}
    assert rhi(shuffled, top=1).robust.tolist() == rhi(metrics, top=1).robust[order].tolist()


@laws
@given(head_draws)
def test_asking_for_more_heads_keeps_the_first(metrics):
    size = rhi(metrics, top=1).robust.size
    everything = rhi(metrics, top=size).heads
    assert len(set(everything)) == size
    assert all(rhi(metrics, top=k).heads == everything[:k] for k in range(1, size))


def test_equal_heads_are_taken_from_the_lowest_block_and_head():
    values = np.array([[1.0, 3, 1], [3, 0, 3]])
    metrics = {"a": {"lda": values}}
    assert rhi(metrics, top=4).heads == ((0, 1), (1, 0), (1, 2), (0, 0))
    assert rhi({"a": {"lda": np.full((2, 3), 0.7)}}, top=4).heads == ((0, 0), (0, 1), (0, 2), (1, 0))


def test_a_metric_that_is_the_same_for_all_heads_counts_as_zero():
    metrics = {"a": {"lda": np.array([[0.0, 1.0]]), "flat": np.array([[0.1, 0.1]])}}
    assert rhi(metrics, top=1).robust.tolist() == [[0, 0.5]]


def test_an_unknown_head_is_never_chosen_and_scales_nothing():
    metrics = head_values(1)
    expected = rhi(metrics, top=1)
    victim = expected.heads[0]
    low = {p: {name: values.copy() for name, values in of.items()} for p, of in metrics.items()}
    low["prompt-1"]["symmetric_kl"][victim] = math.nan
    found = rhi(low, top=19)
    assert np.argwhere(np.isnan(found.robust)).tolist() == [list(victim)]
    assert victim not in found.heads
    with pytest.raises(VadprobeError, match=r"19 of 20 heads.*top asks for 20"):
        rhi(low, top=20)
    high = {"a": {"lda": np.array([[0.0, 1, 2, math.nan]])}}
    assert rhi(high, top=3).robust.tolist()[0][:3] == [0, 0.5, 1]
    chosen = select_heads(low, top=5)
    assert chosen.scores[victim[0]][victim[1]] is None
    assert np.isnan(chosen.score_array()[victim])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m | {"prompt-0": m["prompt-0"] | {"lda": np.full((4, 5), math.nan)}},
            "lda is unknown for every head",
        ),
        (
            lambda m: m | {"prompt-0": m["prompt-0"] | {"lda": np.full((4, 5), math.inf)}},
            r"infinite.*'prompt-0'.*\(0, 0\)",
        ),
    ],
)
def test_head_metrics_that_cannot_be_ranked_are_refused(change, message):
    with pytest.raises(VadprobeError, match=message):
        rhi(change(head_values(2)))


@pytest.mark.parametrize(
    ("top", "weight", "message"),
    [
        (0, 0.5, "top must be from 1 to 20, .* got 0"),
        (21, 0.5, "got 21"),
        (5, -0.1, "weight must be 0 or more, got -0.1"),
        (5, math.nan, "got nan"),
        (5, math.inf, "got inf"),
    ],
)
def test_numbers_out_of_range_are_refused(top, weight, message):
    with pytest.raises(VadprobeError, match=message):
        rhi(head_values(3), weight, top)


def test_two_samples_of_a_class_are_refused_with_what_to_do():
    features = np.random.default_rng(0).normal(size=(2, 3, 6, 4))
    metrics = head_metrics(features, np.array([0, 0, 0, 0, 1, 1]), 0)
    with pytest.raises(VadprobeError, match=r"symmetric_kl is unknown for every head.*three per class.*larger"):
        rhi({"a": metrics}, top=1)


def test_planted_layer_and_heads_are_found():
    generator = np.random.default_rng(4)
    labels = np.arange(40) % 2
    layers = generator.normal(size=(6, 40, 12))
    layers[3, labels == 1] += 3
    # Entropy alone knows no labels: a planted layer has fewer empty bins or more, by chance.
    metrics = layer_metrics(layers, labels)
    assert select_layer(metrics).indices == ((4,),)
    prompts = {}
    for prompt in ("a", "b", "c"):
        heads = generator.normal(size=(4, 5, 40, 6))
        heads[2, 1, labels == 1] += 2
        heads[0, 4, labels == 1] += 2
        prompts[prompt] = head_metrics(heads, labels, 0)
    assert set(rhi(prompts, top=2).heads) == {(2, 1), (0, 4)}
