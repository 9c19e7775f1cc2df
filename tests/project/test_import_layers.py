"""Stage 2 never loads torch, the store loads no Dask, and what was fitted is read without what fits it."""

import subprocess
import sys

import pytest

from tests.support.paths import ROOT


def modules_of(package: str) -> list[str]:
    """Names of all modules of a package, at any depth."""
    files = sorted((ROOT / package).rglob("*.py"))
    names = (".".join(("vadprobe", *file.relative_to(ROOT).with_suffix("").parts)) for file in files)
    return [name.removesuffix(".__init__") for name in names]


def loaded_by(modules: list[str]) -> set[str]:
    """Top-level packages that are loaded after importing the modules in a fresh interpreter."""
    code = f"import sys, {', '.join(modules)}; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_all_of_stage_two_and_the_command_line_leaves_torch_unloaded() -> None:
    stage_two = modules_of("analyze")
    assert "vadprobe.analyze.saliency.kernels.gaussian" in stage_two
    modules = [*stage_two, "vadprobe.flows.command_line", "vadprobe.flows.jobs.analyze_job"]
    assert not loaded_by(modules) & {"torch", "transformers", "decord", "prefect"}


def test_importing_the_whole_store_loads_neither_stage() -> None:
    store = modules_of("store")
    assert "vadprobe.store.datasets.annotations.rows.csv_rows" in store
    assert not loaded_by(store) & {"torch", "dask", "sklearn", "scipy", "prefect", "matplotlib"}


def test_values_that_were_fitted_are_read_without_scikit_learn() -> None:
    values = [
        "detector.detector",
        "detector.scoring",
        "probes.kinds.registry",
        "locator.locator",
        "saliency.selection",
        "calibration.calibration",
    ]
    assert not loaded_by([f"vadprobe.analyze.{name}" for name in values]) & {"sklearn", "dask", "distributed"}


@pytest.mark.parametrize("package", ["store", "extract", "analyze", "detect", "flows"])
def test_no_module_is_named_like_one_of_the_standard_library(package: str) -> None:
    names = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    assert not names & sys.stdlib_module_names
