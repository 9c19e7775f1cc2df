"""Samples that a probe is fitted on, and their scale."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from vadprobe.analyze.probes.fitting import fit_probe
from vadprobe.analyze.probes.samples import drawn_samples
from vadprobe.analyze.probes.settings import CODE_PROBE, ProbeConfig
from vadprobe.analyze.probes.terms import Penalty, ProbeKind
from vadprobe.store.errors import VadprobeError

LABELS = np.array([0] * 12 + [1] * 5)
KINDS: tuple[ProbeKind, ...] = ("logistic", "linear-svm", "mlp", "distance")


def features(seed: int = 0, k: int = 4) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return 3 + generator.normal(size=(len(LABELS), k)) * [0.1, 1.0, 5.0, 20.0] + LABELS[:, None]


def test_all_samples_once_in_their_order_by_default():
    assert drawn_samples(LABELS, 1.0, "none", 3).tolist() == list(range(17))


def test_sixty_per_cent_are_the_public_codes_training_part():
    found = drawn_samples(LABELS, 0.6, "none", 42)
    wanted, _, labels, _ = train_test_split(np.arange(17), LABELS, test_size=0.4, random_state=42, stratify=LABELS)
    assert found.tolist() == wanted.tolist()
    assert np.bincount(labels).tolist() == [7, 3]
    assert found.tolist() != drawn_samples(LABELS, 0.6, "none", 0).tolist()


def test_balanced_classes_are_equally_many_and_lose_nobody():
    for fraction in (1.0, 0.6):
        alone = drawn_samples(LABELS, fraction, "none", 1)
        found = drawn_samples(LABELS, fraction, "balanced", 1)
        assert found[: len(alone)].tolist() == alone.tolist()
        counts = np.bincount(found, minlength=17)
        assert counts[LABELS == 0].sum() == counts[LABELS == 1].sum()
        assert (counts[LABELS == 0] <= 1).all()
        repeated = counts[(LABELS == 1) & (counts > 0)]
        assert repeated.max() - repeated.min() <= 1
    assert drawn_samples(LABELS, 1.0, "balanced", 1).tolist() != drawn_samples(LABELS, 1.0, "balanced", 2).tolist()
    assert drawn_samples(1 - LABELS, 1.0, "balanced", 1).size == 24, "whichever class is the rarer one"


@pytest.mark.parametrize("n_anomalous", [2, 3])
def test_a_fraction_that_leaves_less_than_two_of_a_class_is_refused(n_anomalous):
    labels = np.arange(16) < n_anomalous
    with pytest.raises(VadprobeError, match=r"probe.fraction 0.3 of 16 .* 1 anomalous ones .* Calibrate on more"):
        drawn_samples(labels.astype(int), 0.3, "none", 0)


@pytest.mark.parametrize("kind", KINDS)
def test_features_as_they_are_have_mean_0_and_scale_1_in_every_kind(kind):
    penalty = Penalty(0.01 if kind != "distance" else 1.0, max_iter=20_000)
    probe = fit_probe(features(), LABELS, kind=kind, penalty=penalty, scaling="none")
    assert (probe.mean.tolist(), probe.scale.tolist()) == ([0.0] * 4, [1.0] * 4)
    scaled = fit_probe(features(), LABELS, kind=kind, penalty=penalty)
    assert scaled.mean == pytest.approx(features().mean(axis=0))
    assert scaled.scale == pytest.approx(features().std(axis=0))
    assert probe.score(features()).tolist() != scaled.score(features()).tolist()


def test_logistic_regression_without_scaling_is_scikit_learns():
    probe = fit_probe(features(), LABELS, penalty=Penalty(max_iter=10_000), scaling="none")
    model = LogisticRegression(max_iter=10_000).fit(features(), LABELS)
    np.testing.assert_allclose(probe.score(features()), model.predict_proba(features())[:, 1], rtol=1e-12)


def test_only_a_scaled_logistic_probe_of_all_samples_streams():
    assert ProbeConfig().streams
    for settings in ({"scaling": "none"}, {"fraction": 0.6}, {"resampling": "balanced"}, {"kind": "mlp"}, CODE_PROBE):
        assert not ProbeConfig(**settings).streams
