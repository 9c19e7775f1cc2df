"""Kinds that fit themselves, by their definitions in plain NumPy."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.spatial.distance import cdist

from vadprobe.analyze.configuration import AnalysisConfig, ProbeConfig
from vadprobe.analyze.probes.fitting import fit_probe
from vadprobe.analyze.probes.kinds.neighbours import NeighboursProbe
from vadprobe.analyze.probes.kinds.sphere import SphereProbe
from vadprobe.analyze.probes.kinds.whitened import WhitenedProbe
from vadprobe.store.errors import VadprobeError


def samples(n: int = 60, k: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = (np.arange(n) % 3 == 0).astype(int)
    return generator.normal(size=(n, k)) + 2 + labels[:, None] * generator.normal(size=k), labels


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def logarithms(rows: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The tangent vectors at `centre` that lead to each row along its great circle."""
    angle = np.arccos(rows @ centre)[:, None]
    return np.asarray((rows - np.cos(angle) * centre) * angle / np.sin(angle))


@pytest.mark.parametrize("transductive", [False, True])
@pytest.mark.parametrize("prototypes", [(1, 1), (3, 4), (3, 25)])
def test_angles_on_the_sphere_from_the_definition(transductive: bool, prototypes: tuple[int, int]) -> None:
    features, labels = samples()
    others = samples(seed=9)[0] + 1 if transductive else None
    options = {"normal_prototypes": prototypes[0], "anomalous_prototypes": prototypes[1], "concentration": 2.5}
    kind = "von-mises-fisher"
    probe = fit_probe(features, labels, kind=kind, scaling="none", options=options, unlabelled=others)
    assert isinstance(probe, SphereProbe)
    seen = unit(features if others is None else np.concatenate([features, others]))
    assert np.linalg.norm(probe.centre) == pytest.approx(1)
    # The Frechet mean: the squared angles have no slope there.
    np.testing.assert_allclose(logarithms(seen, probe.centre).mean(axis=0), 0, atol=1e-11)
    moved = unit(logarithms(unit(features), probe.centre))
    for kept, label in ((probe.normal, 0), (probe.anomalous, 1)):
        own = moved[labels == label]
        assert len(kept) == min(prototypes[label], len(own))
        nearest = (own @ kept.T).argmax(axis=1)
        for number, prototype in enumerate(kept):
            np.testing.assert_allclose(prototype, unit(own[nearest == number].sum(axis=0)), atol=1e-12)
    fresh = samples(seed=3)[0]
    points = unit(logarithms(unit(fresh), probe.centre))
    angles = [np.arccos(np.clip(points @ kept.T, -1, 1)).min(axis=1) for kept in (probe.normal, probe.anomalous)]
    likelihoods = np.exp(-2.5 * np.stack(angles))
    np.testing.assert_allclose(probe.score(fresh), likelihoods[1] / likelihoods.sum(axis=0), rtol=1e-9)


def test_two_far_directions_are_told_apart_and_zeros_are_a_half() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 2
    features = generator.normal(scale=0.1, size=(40, 6)) + np.where(
        labels[:, None] == 1, [1, 0, 0, 1, 0, 0], [0, 1] * 3
    )
    probe = fit_probe(features, labels, kind="von-mises-fisher", scaling="none", options={"concentration": 30.0})
    assert (probe.score(features).round() == labels).all()
    assert probe.score(np.zeros((1, 6))).tolist() == [0.5]
    alike = fit_probe(np.ones((4, 3)), np.array([0, 0, 1, 1]), kind="von-mises-fisher", scaling="none")
    assert alike.score(np.ones((1, 3))).tolist() == [0.5]


def test_whitening_is_by_the_covariance_of_probabilistic_pca() -> None:
    features, labels = samples(n=30, k=5)
    probe = fit_probe(features, labels, kind="whitened", scaling="none", options={"components": 2})
    assert isinstance(probe, WhitenedProbe)
    values, vectors = np.linalg.eigh(np.cov(features.T, ddof=0))
    kept, rest = vectors[:, -2:], values[:-2].mean()
    covariance = kept @ np.diag(values[-2:] - rest) @ kept.T + rest * np.eye(5)
    fresh = samples(k=5, seed=4)[0]
    away = fresh - features.mean(axis=0)
    squares = np.einsum("nk,kl,nl->n", away, np.linalg.inv(covariance), away) / 5
    np.testing.assert_allclose(probe.score(fresh), squares / (1 + squares), rtol=1e-9)
    # Over its own rows the whitened features have a mean square of exactly 1.
    own = probe.score(features)
    np.testing.assert_allclose((own / (1 - own)).mean(), 1, rtol=1e-9)


@pytest.mark.parametrize("neighbours", [1, 4])
def test_neighbours_are_the_nearest_other_rows(neighbours: int) -> None:
    features, labels = samples(n=25, k=4)
    probe = fit_probe(features, labels, kind="nearest-neighbours", scaling="none", options={"neighbours": neighbours})
    assert isinstance(probe, NeighboursProbe)
    own = np.sort(cdist(features, features), axis=1)[:, 1 : 1 + neighbours].mean(axis=1)
    np.testing.assert_allclose(probe.score(features), own / (own + np.median(own)), rtol=1e-12)
    fresh = samples(k=4, seed=4)[0]
    others = np.sort(cdist(fresh, features), axis=1)[:, :neighbours].mean(axis=1)
    np.testing.assert_allclose(probe.score(fresh), others / (others + np.median(own)), rtol=1e-12)


def test_a_bank_is_drawn_by_the_values_of_its_rows() -> None:
    features, labels = samples(n=80)
    order = np.random.default_rng(1).permutation(80)
    banks = [
        fit_probe(features[of], labels[of], kind="nearest-neighbours", scaling="none", options={"bank": 20})
        for of in (np.arange(80), order)
    ]
    assert banks[0].to_json() == banks[1].to_json()
    assert len(banks[0].to_json()["bank"]) == 20


def test_unknown_rows_are_left_out_of_statistics() -> None:
    features, labels = samples()
    others = samples(seed=2)[0]
    broken = np.concatenate([others, np.full((2, 8), np.nan)])
    for kind in ("von-mises-fisher", "whitened", "nearest-neighbours"):
        fits = [fit_probe(features, labels, kind=kind, unlabelled=rows) for rows in (others, broken)]
        assert fits[0].to_json() == fits[1].to_json()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "whitened", "options": {"prototypes": 3}}, "has the options components, not 'prototypes'"),
        ({"options": {"components": 3}}, "has no options, not 'components'"),
        ({"kind": "whitened", "options": {"components": 0}}, "options.components must be above 0, got 0"),
        ({"kind": "whitened", "c": 3.0}, "'whitened' fits no boundary"),
        ({"statistics": "test"}, "'logistic' has no statistic without labels"),
        ({"kind": "forest"}, "must be one of logistic, .* got 'forest'"),
    ],
)
def test_what_a_kind_does_not_have_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ProbeConfig.model_validate(settings)


def test_transductive_is_refused_unless_the_job_says_so() -> None:
    values = {"preset": "p", "method": "spherevad", "out": "o", "probe": {"statistics": "test"}}
    with pytest.raises(ValidationError, match=r"transductive.*allow_transductive = true"):
        AnalysisConfig.model_validate(values)
    config = AnalysisConfig.model_validate({**values, "allow_transductive": True})
    assert (config.probe.kind, config.probe.scaling, config.rule) == ("von-mises-fisher", "none", "middle-layer")


def test_a_method_leaves_another_kind_as_it_is() -> None:
    values = {"preset": "p", "method": "spherevad", "out": "o", "probe": {"kind": "whitened"}}
    assert AnalysisConfig.model_validate(values).probe.scaling == "standard"


def test_a_kind_without_a_fit_is_a_sentence() -> None:
    with pytest.raises(VadprobeError, match="the probe's kind must be one of"):
        fit_probe(*samples(), kind="forest")
