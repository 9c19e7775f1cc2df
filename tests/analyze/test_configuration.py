"""Keys of the open readings: what follows the method, what the public code sets at once, and what is refused."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from vadprobe.analyze.configuration import AnalysisConfig, LocatorConfig, ProbeConfig
from vadprobe.analyze.experiments.cases import chosen_by, varied


def config(method: str = "headhunt", **sections: Any) -> AnalysisConfig:
    return AnalysisConfig.model_validate({"preset": "p", "method": method, "out": "o"} | sections)


def test_a_locator_that_a_job_leaves_out_is_its_methods():
    hiprobe, headhunt = config("hiprobe").locator, config("headhunt").locator
    assert (hiprobe.sigmas, hiprobe.threshold, hiprobe.kappa) == ((0.4,), "adaptive", 0.2)
    assert (headhunt.sigmas, headhunt.threshold) == ((1.5,), 0.65)
    assert (hiprobe.edge, hiprobe.truncate) == (headhunt.edge, headhunt.truncate) == ("reflect", 4.0)


def test_single_keys_of_a_locator_replace_the_methods_alone():
    assert config("hiprobe", locator={"threshold": 0.5}).locator == LocatorConfig(sigmas=(0.4,), threshold=0.5)
    assert config("hiprobe", locator={"sigmas": [2.0]}).locator == LocatorConfig(sigmas=(2.0,), threshold="adaptive")
    assert config("hiprobe", locator=LocatorConfig(kappa=1.0)).locator.threshold == "adaptive"
    assert config("headhunt", locator={"kappa": 1.0}).locator.sigmas == (1.5,)


def test_the_public_code_sets_everything_at_once():
    found = config(convention="headhunt-code")
    assert found.saliency.convention == found.probe.convention == "headhunt-code"
    assert (found.probe.max_iterations, found.probe.fraction, found.probe.seed) == (2000, 0.6, 42)
    assert (found.locator.edge, found.locator.truncate) == ("zero", 3.0)
    assert (found.locator.sigmas, found.locator.threshold, found.locator.thresholds) == ((1.5,), 0.65, None)
    grid = config(convention="headhunt-code", locator={"threshold": "grid"}).locator
    np.testing.assert_allclose(grid.sigmas, np.linspace(0.5, 3.0, 11), rtol=1e-15)
    np.testing.assert_allclose(grid.grid, np.linspace(0.1, 0.9, 81), rtol=1e-15)


def test_nothing_is_set_by_the_convention_of_the_paper():
    assert config(convention="paper") == config()
    assert config(saliency={"convention": "headhunt-code"}).probe == ProbeConfig()


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"probe": {"c": 2.0}}, r"probe.c is 2.0, but convention 'headhunt-code' sets 1.0; leave the key out"),
        ({"saliency": {"convention": "paper"}}, "saliency.convention is 'paper', but"),
        ({"locator": {"edge": "reflect"}}, "locator.edge is 'reflect', but"),
        ({"locator": {"threshold": "grid", "sigmas": [0.0, 1.0]}}, "locator.sigmas is .* but"),
        ({"saliency": {"mmd": "square"}}, "mmd is of the convention 'paper'"),
        ({"method": "hiprobe"}, "convention 'headhunt-code' is of method 'headhunt'"),
    ],
)
def test_a_key_against_the_convention_is_refused(sections, words):
    with pytest.raises(ValidationError, match=words):
        config(**{"method": "headhunt", "convention": "headhunt-code", **sections})


def test_a_key_with_the_value_of_the_convention_may_stand_there():
    sections = {"probe": {"c": 1.0, "kind": "logistic"}, "locator": {"edge": "zero", "sigmas": [2.0]}}
    assert config(convention="headhunt-code", **sections).locator.sigmas == (2.0,)


@pytest.mark.parametrize(
    ("method", "sections", "words"),
    [
        ("headhunt", {"saliency": {"entropy_bins": 16}}, "entropy_bins is of layers, and rule 'rhi' chooses heads"),
        ("hiprobe", {"saliency": {"nmi_mean": "arithmetic"}}, "nmi_mean is of heads, and rule 'dlsp' chooses a layer"),
        ("hiprobe", {"saliency": {"entropy_bins": 1}}, "entropy_bins"),
        ("hiprobe", {"saliency": {"kl_direction": "both"}}, "'normal-anomalous' or 'anomalous-normal'"),
        ("hiprobe", {"saliency": {"variance_floor": -0.1}}, "variance_floor"),
        ("hiprobe", {"saliency": {"variance_floor": 1.0}}, "variance_floor"),
        ("hiprobe", {"saliency": {"ratio_epsilon": -1e-9}}, "ratio_epsilon"),
        ("headhunt", {"saliency": {"lda_covariance": 0.0}}, "lda_covariance must be 'ledoit-wolf', .* got 0.0"),
        ("headhunt", {"saliency": {"lda_covariance": "diagonal"}}, "lda_covariance"),
        ("headhunt", {"saliency": {"mmd": "cube"}}, "'root' or 'square'"),
        ("headhunt", {"saliency": {"kmeans_starts": 0}}, "kmeans_starts"),
        ("headhunt", {"saliency": {"nmi_mean": "harmonic"}}, "'geometric' or 'arithmetic'"),
        ("hiprobe", {"selection": {"last_layer": "after-norm"}}, "stores hold the last block's output before it"),
        ("hiprobe", {"selection": {"layer_zero": "input"}}, "'embedding' or 'first-block'"),
        ("hiprobe", {"probe": {"scaling": "min-max"}}, "'standard' or 'none'"),
        ("hiprobe", {"probe": {"fraction": 0.0}}, "fraction"),
        ("hiprobe", {"probe": {"resampling": "down"}}, "'none' or 'balanced'"),
        ("hiprobe", {"locator": {"edge": "wrap"}}, "'reflect', 'zero' or 'nearest'"),
        ("hiprobe", {"locator": {"truncate": 0.0}}, "truncate"),
        ("hiprobe", {"locator": {"adaptive_samples": "normal"}}, "'all' or 'anomalous'"),
        ("hiprobe", {"locator": {"thresholds": []}}, "thresholds"),
        ("hiprobe", {"locator": 3}, "locator"),
    ],
)
def test_a_reading_that_is_none_or_would_change_nothing_is_refused(method, sections, words):
    with pytest.raises(ValidationError, match=words):
        config(method, **sections)


def test_a_variation_keeps_what_the_convention_set_and_may_leave_it():
    code = config(convention="headhunt-code")
    same = varied(code, top_heads=3)
    assert (same.probe, same.locator, same.saliency) == (code.probe, code.locator, code.saliency)
    assert varied(code, probe={**ProbeConfig().model_dump(), "kind": "mlp"}).probe.kind == "mlp"


def test_the_other_method_has_the_readings_of_its_own_metrics():
    layers = varied(config(saliency={"mmd": "square", "folds": 2}), selection=chosen_by("dlsp"))
    assert (layers.method, layers.saliency.mmd, layers.saliency.folds) == ("hiprobe", "root", 2)
    heads = varied(config("hiprobe", saliency={"entropy_bins": 8}), selection=chosen_by("rhi"))
    assert (heads.method, heads.saliency.entropy_bins) == ("headhunt", 32)


@pytest.mark.parametrize("key", ["out", "steps", "detector"])
def test_a_url_for_files_that_no_bucket_takes_is_refused(key):
    with pytest.raises(ValidationError, match=r"must be a path on this machine's file systems, got 's3://team/x'"):
        config(**{key: "s3://team/x"})
