"""The streamed fit against the fit in memory, and its independence of blocks, order and place of computation."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tests.support import profiles
from tests.support.samples.array_blocks import ArrayBlocks
from vadprobe.analyze.probes import logistic_fitting
from vadprobe.analyze.probes.kinds.registry import probe_from_json
from vadprobe.analyze.probes.logistic_fitting import fit_logistic
from vadprobe.analyze.probes.streaming import logistic as streamed
from vadprobe.analyze.probes.terms import DEFAULT_PENALTY, Penalty
from vadprobe.store.errors import VadprobeError

laws = profiles.laws(10)


def samples(n=1500, k=8, seed=0, share=0.3, shift=0.5):
    """Overlapping classes, correlated features on very different scales."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(n) < round(share * n)).astype(int)
    generator.shuffle(labels)
    mixing = generator.normal(size=(k, k)) * np.geomspace(1, 0.1, k)
    features = generator.normal(size=(n, k)) @ mixing + shift * labels[:, None] * generator.normal(size=k)
    return features * 10.0 ** generator.integers(-3, 4, k) + 100, labels


def exact(features, labels, C=1.0, class_weight=None):
    """The minimum to all digits, by Newton's method: L-BFGS in memory stops where the loss is flat. (scaler, model)"""
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=C, class_weight=class_weight, solver="newton-cholesky", tol=1e-12, max_iter=100)
    return scaler, model.fit(scaler.transform(features), labels)


def exact_scores(features, labels):
    scaler, model = exact(features, labels)
    return model.predict_proba(scaler.transform(features))[:, 1]


@pytest.fixture
def tight(monkeypatch):
    """Fits to the last digits."""
    for module in (logistic_fitting, streamed):
        monkeypatch.setattr(module, "_TOLERANCE", 1e-10)


def fit(blocks, penalty=DEFAULT_PENALTY, *, sample_rows=None, **options):
    """A streamed fit with about so many rows in its sample, by default as many as it takes by itself."""
    with pytest.MonkeyPatch.context() as patch:
        if sample_rows is not None:
            patch.setattr(streamed, "_SAMPLE_ROWS", 0)
            patch.setattr(streamed, "_LEAST_SAMPLE", sample_rows)
        return streamed.fit_streamed_logistic(blocks, penalty, **options)


def bits(probe):
    return probe.mean.tobytes() + probe.scale.tobytes() + probe.coef.tobytes() + np.float64(probe.intercept).tobytes()


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("C", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("sample_rows", [None, 0, 300])
def test_the_same_minimum_as_in_memory(tight, class_weight, C, sample_rows):
    features, labels = samples()
    scaler, model = exact(features, labels, C, class_weight)
    expected = fit_logistic(features, labels, Penalty(C, class_weight))
    probe = fit(ArrayBlocks(features, labels), Penalty(C, class_weight), sample_rows=sample_rows)
    np.testing.assert_allclose(probe.coef, model.coef_[0], rtol=0, atol=1e-6 * np.abs(model.coef_).max())
    in_memory = model.predict_proba(scaler.transform(features))[:, 1]
    np.testing.assert_allclose(probe.score(features), in_memory, rtol=0, atol=1e-7)
    np.testing.assert_allclose(probe.score(features), expected.score(features), rtol=0, atol=1e-6)
    np.testing.assert_allclose(probe.mean, expected.mean, rtol=1e-13)
    np.testing.assert_allclose(probe.scale, expected.scale, rtol=1e-13)
    assert (probe.kind, probe.C, probe.class_weight, probe.converged) == ("logistic", C, class_weight, True)
    assert (probe.convention, probe.n_left_out) == ("paper", 0)


def test_the_default_tolerance_is_near_the_minimum():
    features, labels = samples()
    probe = fit(ArrayBlocks(features, labels), sample_rows=300)
    np.testing.assert_allclose(probe.score(features), exact_scores(features, labels), rtol=0, atol=2e-5)


@pytest.mark.parametrize("sample_rows", [None, 0, 300])
def test_separable_classes_have_a_penalised_minimum(tight, sample_rows):
    features, labels = samples(n=700, k=40)
    features[labels == 1] += 30 * features.std(axis=0)
    probe = fit(ArrayBlocks(features, labels), sample_rows=sample_rows)
    assert ((probe.score(features) > 0.5) == labels).all()
    np.testing.assert_allclose(probe.score(features), exact_scores(features, labels), rtol=0, atol=1e-7)


def test_more_features_than_the_sample_has_rows(tight):
    features, labels = samples(n=600, k=200)
    probe = fit(ArrayBlocks(features, labels), sample_rows=100)
    np.testing.assert_allclose(probe.score(features), exact_scores(features, labels), rtol=0, atol=1e-6)


class Elsewhere(ArrayBlocks):
    """Blocks computed last to first, by functions and arguments that came through a pickle."""

    def map(self, function, *arguments):
        function, arguments = pickle.loads(pickle.dumps((function, arguments)))  # noqa: S301
        found = [function(part.copy(order="F"), labels, *arguments) for part, labels in reversed(self.blocks)]
        return found[::-1]


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(600, 1600),
    block=st.integers(1, 7),
    sample_rows=st.sampled_from([0, 200]),
    broken=st.lists(st.integers(0, 599), max_size=40),
)
@laws
def test_neither_blocks_nor_order_nor_place_change_a_bit(seed, n, block, sample_rows, broken):
    features, labels = samples(n=n, k=5, seed=seed)
    features[broken, 2] = math.nan
    whole = fit(ArrayBlocks(features, labels, 256 * 8), sample_rows=sample_rows)
    for blocks in (ArrayBlocks(features, labels, 256 * block), Elsewhere(features, labels, 256 * block)):
        assert bits(fit(blocks, sample_rows=sample_rows)) == bits(whole)


def test_the_number_of_blas_threads_changes_no_bit():
    features, labels = samples(n=3000, k=300)
    found = set()
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            found.add(bits(fit(ArrayBlocks(features, labels), sample_rows=1000)))
    assert len(found) == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_failed_rows_are_left_out_and_counted(tight, bad):
    features, labels = samples()
    broken = features.copy()
    rows = np.array([0, 1, 2, 255, 256, 700, 1499])
    broken[rows, [0, 1, 2, 3, 4, 5, 6]] = bad
    broken[256:512] = bad  # a whole chunk
    keep = np.isfinite(broken).all(axis=1)
    probe = fit(ArrayBlocks(broken, labels), Penalty(class_weight="balanced"))
    scaler, model = exact(features[keep], labels[keep], class_weight="balanced")
    expected = model.predict_proba(scaler.transform(features))[:, 1]
    np.testing.assert_allclose(probe.score(features), expected, rtol=0, atol=1e-7)
    assert probe.n_left_out == (~keep).sum() == 262


def test_a_first_chunk_that_failed_changes_nothing_but_the_count():
    features, labels = samples()
    before = np.concatenate([np.full((256, 8), math.nan), features])
    probe = fit(ArrayBlocks(before, np.concatenate([np.zeros(256, dtype=int), labels]), 256))
    assert bits(probe) == bits(fit(ArrayBlocks(features, labels)))
    assert probe.n_left_out == 256


def test_a_constant_feature_has_scale_one_and_no_say(tight):
    features, labels = samples()
    constant = np.insert(features, 3, 1234.567, axis=1)
    for sample_rows in (None, 0):
        probe = fit(ArrayBlocks(constant, labels), sample_rows=sample_rows)
        assert (probe.mean[3], probe.scale[3], probe.coef[3]) == (1234.567, 1.0, 0.0)
        without = fit(ArrayBlocks(features, labels))
        np.testing.assert_allclose(probe.score(constant), without.score(features), rtol=0, atol=1e-7)


def test_only_constant_features_give_the_class_share(tight):
    labels = np.repeat([1, 0], [100, 300])
    probe = fit(ArrayBlocks(np.ones((400, 3)), labels))
    np.testing.assert_allclose(probe.score(np.ones((2, 3))), 0.25, atol=1e-6)


def test_one_enormous_value_leaves_the_moments_right():
    features, labels = samples()
    features[777, 4] = 1e12
    probe = fit(ArrayBlocks(features, labels))
    np.testing.assert_allclose(probe.mean, features.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(probe.scale, features.std(axis=0), rtol=1e-8)


def test_low_precision_rows_are_those_in_float64():
    features, labels = samples()
    narrow = features.astype(np.float32)
    wide = fit(ArrayBlocks(narrow.astype(np.float64), labels), sample_rows=300)
    assert bits(fit(ArrayBlocks(narrow, labels.astype(np.int8)), sample_rows=300)) == bits(wide)


class Counted(ArrayBlocks):
    """Blocks that count the passes over them."""

    passes = 0

    def map(self, function, *arguments):
        self.passes += 1
        return super().map(function, *arguments)


def test_a_sample_saves_passes():
    features, labels = samples(n=6000, k=60, shift=0.1)
    with_sample, without = Counted(features, labels), Counted(features, labels)
    fit(with_sample, sample_rows=3000)
    fit(without, sample_rows=0)
    assert with_sample.passes < 0.5 * without.passes


def test_the_seed_changes_the_way_and_not_the_minimum(tight):
    features, labels = samples()
    first, second = (fit(ArrayBlocks(features, labels), sample_rows=200, seed=seed) for seed in (0, 1))
    assert bits(first) != bits(second)
    np.testing.assert_allclose(first.score(features), second.score(features), rtol=0, atol=1e-7)


def test_without_a_penalty_as_in_memory(tight):
    features, labels = samples(shift=0.2)
    expected = fit_logistic(features, labels, Penalty(math.inf))
    probe = fit(ArrayBlocks(features, labels), Penalty(math.inf))
    np.testing.assert_allclose(probe.score(features), expected.score(features), rtol=0, atol=1e-6)
    stopped = fit(ArrayBlocks(features, labels), Penalty(math.inf, max_iter=1), sample_rows=0)
    assert (probe.converged, stopped.converged) == (True, False)


def test_json_restores_it():
    features, labels = samples()
    features[5] = math.nan
    probe = fit(ArrayBlocks(features, labels))
    again = probe_from_json(probe.to_json())
    assert bits(again) == bits(probe)
    assert again.n_left_out == 1


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (np.zeros(600, dtype=int), {}, "there are 0 anomalous samples"),
        (
            np.arange(600) % 2,
            {"penalty": Penalty(max_iter=1), "sample_rows": 0},
            r"did not converge in 1 iterations \(4 passes\).*Raise max_iter \(now 1\)",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused(labels, options, words):
    features = samples(n=600)[0] + labels[:, None]
    with pytest.raises(VadprobeError, match=words):
        fit(ArrayBlocks(features, labels), **options)


def test_rows_without_a_finite_value_are_too_few():
    with pytest.raises(VadprobeError, match="there are 0 normal samples"):
        fit(ArrayBlocks(np.full((300, 4), math.nan), np.arange(300) % 2))
