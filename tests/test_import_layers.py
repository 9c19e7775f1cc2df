"""Stage 2 never loads torch, the store loads no Dask, and the layer contracts would notice if they did."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGE_TWO = sorted(f"vadprobe.analyze.{path.stem}" for path in (ROOT / "analyze").glob("*.py"))
STORE = sorted(f"vadprobe.store.{path.stem}" for path in (ROOT / "store").glob("*.py"))


def loaded_by(modules: list[str]) -> set[str]:
    """Top-level packages that are loaded after importing the modules in a fresh interpreter."""
    names = [name.removesuffix(".__init__") for name in modules]
    code = f"import sys, {', '.join(names)}; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_all_of_stage_two_and_the_command_line_leaves_torch_unloaded() -> None:
    modules = [*STAGE_TWO, "vadprobe.flows.command_line", "vadprobe.flows.analysis_job"]
    assert not loaded_by(modules) & {"torch", "transformers", "decord", "prefect"}


def test_importing_the_whole_store_loads_neither_stage() -> None:
    assert not loaded_by(STORE) & {"torch", "dask", "sklearn", "scipy", "prefect", "matplotlib"}


@pytest.mark.parametrize("package", ["store", "extract", "analyze", "flows"])
def test_no_module_is_named_like_one_of_the_standard_library(package: str) -> None:
    names = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    assert not names & sys.stdlib_module_names
