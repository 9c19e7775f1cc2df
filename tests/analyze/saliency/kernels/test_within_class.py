"""LDA with every covariance against scikit-learn and NumPy, from inner products and from moments."""

import numpy as np
import pytest
from sklearn.covariance import OAS

from vadprobe.analyze.saliency.heads import head_metrics
from vadprobe.analyze.saliency.null.heads import head_null
from vadprobe.analyze.saliency.readings import HeadReadings

SHAPES = pytest.mark.parametrize(("n", "d"), [(9, 30), (16, 16), (40, 6), (12, 1)])


def heads_of(n: int, d: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng([n, d])
    labels = generator.permutation(np.arange(n) < n // 3).astype(int)
    features = generator.normal(size=(2, 3, n, d)) @ generator.normal(size=(d, d)) + 5.0
    return scale * (features + labels[:, None] * generator.normal(size=d)), labels


def expected(head: np.ndarray, labels: np.ndarray, inverse) -> float:
    """`D' S^-1 D` with the inverse that a function makes of the class-centred samples."""
    classes = head[labels == 1], head[labels == 0]
    centred = np.concatenate([mine - mine.mean(axis=0) for mine in classes])
    difference = classes[0].mean(axis=0) - classes[1].mean(axis=0)
    return float(difference @ inverse(centred) @ difference)


def oas(centred: np.ndarray) -> np.ndarray:
    return np.linalg.inv(OAS(assume_centered=True).fit(centred).covariance_)


def fixed(centred: np.ndarray) -> np.ndarray:
    plain = centred.T @ centred / len(centred)
    return np.linalg.inv(0.7 * plain + 0.3 * np.trace(plain) / len(plain) * np.eye(len(plain)))


def pseudo(centred: np.ndarray) -> np.ndarray:
    return np.linalg.pinv(centred.T @ centred / len(centred), rcond=1e-12, hermitian=True)


CASES = pytest.mark.parametrize(("covariance", "inverse"), [("oas", oas), (0.3, fixed), ("pseudo-inverse", pseudo)])


@SHAPES
@CASES
@pytest.mark.parametrize("scale", [1.0, 1e-5])
def test_lda_has_the_covariance_that_is_asked_for(n, d, covariance, inverse, scale):
    features, labels = heads_of(n, d, scale)
    readings = HeadReadings(lda_covariance=covariance)
    found = head_metrics(features, labels, 0, readings=readings)
    for head in np.ndindex(2, 3):
        assert found["lda"][head] == pytest.approx(expected(features[head], labels, inverse), rel=1e-7)
    others = head_metrics(features, labels, 0)
    assert all(found[name].tolist() == others[name].tolist() for name in others if name != "lda")


@SHAPES
@CASES
def test_labels_by_chance_have_it_too(n, d, covariance, inverse):
    features, labels = heads_of(n, d)
    labelings = np.stack([labels, np.roll(labels, 1)])
    readings = HeadReadings(lda_covariance=covariance)
    null = head_null(features, labelings, 0, readings=readings)["lda"]
    for number, labeling in enumerate(labelings):
        wanted = head_metrics(features, labeling, 0, readings=readings)["lda"]
        np.testing.assert_allclose(null[number], wanted, rtol=1e-7)


def test_two_samples_of_a_class_have_no_singular_covariance_under_oas():
    features, labels = heads_of(9, 30)
    labels[:] = 0
    labels[:2] = 1
    assert np.isfinite(head_metrics(features, labels, 0, readings=HeadReadings(lda_covariance="oas"))["lda"]).all()


def test_a_pseudo_inverse_sees_nothing_outside_of_the_samples_spread():
    """Both classes are constant: S is 0, and so is its pseudo-inverse."""
    labels = np.array([0, 0, 0, 1, 1])
    features = np.where(labels[:, None] == 1, 2.0, 1.0) * np.ones((1, 5, 7))
    found = head_metrics(features, labels, 0, readings=HeadReadings(lda_covariance="pseudo-inverse"))
    assert found["lda"].tolist() == [0.0]
