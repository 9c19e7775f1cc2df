"""A detector is fitted as the readings of the job say, by values computed from the stores with NumPy."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from tests.support.planted import Planted, write_planted
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.detector.fitting import Fitted, fit
from vadprobe.analyze.detector.readings import changed_readings
from vadprobe.analyze.detector.scoring import score
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, varied
from vadprobe.analyze.features.selected import read_selected
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_planted(tmp_path_factory.mktemp("planted"), strength=1.5)


@pytest.fixture
def lab(planted: Planted) -> Iterator[ExperimentContext]:
    cases = tuple(case_of(load_job(planted.job(method)), None) for method in ("hiprobe", "headhunt"))
    with open_scheduler("synchronous", 0) as scheduler:
        yield ExperimentContext(cases, StepCache(None), scheduler)


def fitted(lab: ExperimentContext, case: ExperimentJob, config: AnalysisConfig) -> Fitted:
    return fit(case.inputs(config), config, lab.cache, lab.scheduler)


def calibration_features(case: ExperimentJob, config: AnalysisConfig, found: Fitted) -> np.ndarray:
    store = case.inputs(config).calibration_store
    return read_selected(store, found.detector.selection, found.calibration.rows)


@pytest.mark.parametrize("samples", ["all", "anomalous"])
def test_the_adaptive_threshold_is_of_the_samples_that_are_named(lab: ExperimentContext, samples: str) -> None:
    case = lab.cases[0]
    config = varied(case.config, locator={"adaptive_samples": samples, "kappa": 0.2})
    found = fitted(lab, case, config)
    probabilities = found.detector.probe.score(calibration_features(case, config, found))
    if samples == "anomalous":
        probabilities = probabilities[found.calibration.labels == 1]
    assert found.detector.locator.threshold == pytest.approx(probabilities.mean() + 0.2 * probabilities.std())


def test_scores_are_smoothed_with_the_edge_and_the_reach_of_the_job(lab: ExperimentContext) -> None:
    case = lab.cases[0]
    locator = {"edge": "zero", "truncate": 3.0, "sigmas": (1.5,), "threshold": 0.5}
    config = varied(case.config, locator=locator)
    inputs, detector = case.inputs(config), fitted(lab, case, config).detector
    scores = score(inputs, detector, inputs.rows_of_split("test"), lab.cache, lab.scheduler)
    codes = scores.table.video_codes[scores.rows]
    for code in np.unique(codes):
        expected = gaussian_filter1d(scores.raw[codes == code], 1.5, mode="constant", truncate=3.0)
        np.testing.assert_allclose(scores.smoothed[codes == code], expected, atol=1e-14)


def test_the_probe_of_the_public_code_is_liblinear_on_its_training_part(lab: ExperimentContext) -> None:
    case = lab.cases[1]
    values: dict[str, Any] = {
        "preset": "code",
        "method": "headhunt",
        "out": "o",
        "top_heads": 1,
        "workers": 0,
        "convention": "headhunt-code",
        "calibration": {"fraction": 1.0},
    }
    config = AnalysisConfig.model_validate(values)
    found = fitted(lab, case, config)
    features, labels = calibration_features(case, config, found), found.calibration.labels
    part, _, part_labels, _ = train_test_split(features, labels, test_size=0.4, random_state=42, stratify=labels)
    model = LogisticRegression(solver="liblinear", max_iter=2000).fit(part, part_labels)
    expected = model.predict_proba(features)[:, 1]
    np.testing.assert_allclose(found.detector.probe.score(features), expected, rtol=1e-9)
    assert found.detector.provenance["readings"] == {
        "convention": "headhunt-code",
        "calibration.fraction": 1.0,
        "saliency.convention": "headhunt-code",
        "probe.convention": "headhunt-code",
        "probe.fraction": 0.6,
        "locator.edge": "zero",
        "locator.truncate": 3.0,
    }
    assert found.detector.locator.to_json() == {"sigma": 1.5, "threshold": 0.65, "edge": "zero", "truncate": 3.0}


def test_balanced_samples_weigh_as_much_as_the_other_class(lab: ExperimentContext) -> None:
    case = lab.cases[0]
    plain = fitted(lab, case, case.config)
    config = varied(case.config, probe={"resampling": "balanced"})
    assert np.bincount(plain.calibration.labels).tolist() == [8, 8]
    assert fitted(lab, case, config).detector.probe.to_json() == plain.detector.probe.to_json(), "equally many already"


@pytest.mark.parametrize(
    ("method", "sections", "readings"),
    [
        ("hiprobe", {}, {}),
        ("hiprobe", {"locator": {"sigmas": [1.5]}}, {"locator.sigmas": [1.5]}),
        ("headhunt", {"locator": {"sigmas": [1.5], "threshold": 0.65}}, {}),
        ("headhunt", {"locator": {"threshold": "adaptive"}}, {"locator.threshold": "adaptive"}),
        ("hiprobe", {"probe": {"c": "inf"}, "saliency": {"folds": 3}}, {"probe.c": "inf"}),
    ],
)
def test_what_is_not_at_its_default_is_told(method: str, sections: dict[str, Any], readings: dict[str, Any]) -> None:
    values = {"preset": "p", "method": method, "out": "o", **sections}
    assert changed_readings(AnalysisConfig.model_validate(values)) == readings
