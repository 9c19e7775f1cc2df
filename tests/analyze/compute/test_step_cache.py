"""Steps: kept by the digest of their inputs, reused only when nothing they depend on has changed."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paths import ROOT
from tests.support.profiles import laws
from vadprobe.analyze.compute import step_cache as module
from vadprobe.analyze.compute.step_cache import CachedResult, StepCache
from vadprobe.store.errors import VadprobeError

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def counted(value: float = 1.5) -> tuple[list[int], Any]:
    calls: list[int] = []

    def compute() -> CachedResult:
        calls.append(1)
        return CachedResult({"value": value, "none": None}, {"array": np.array([value, np.nan])})

    return calls, compute


def test_a_step_is_computed_once_and_then_read(tmp_path: Path) -> None:
    calls, compute = counted()
    for _ in range(2):
        steps = StepCache(tmp_path)
        for _ in range(2):
            result = steps.result("sum", {"rows": [1, 2]}, compute)
            assert result.values == {"value": 1.5, "none": None}
            assert np.array_equal(result.arrays["array"], [1.5, np.nan], equal_nan=True)
    assert calls == [1]
    assert steps.computed == []
    assert [run.name for run in steps.runs] == ["sum", "sum"]


@pytest.mark.parametrize("change", [{"rows": [1, 3]}, {"rows": [1, 2], "seed": 0}, {}])
def test_other_inputs_are_another_result(tmp_path: Path, change: dict[str, Any]) -> None:
    calls, compute = counted()
    StepCache(tmp_path).result("sum", {"rows": [1, 2]}, compute)
    steps = StepCache(tmp_path)
    steps.result("sum", change, compute)
    steps.result("mean", {"rows": [1, 2]}, compute)
    assert steps.computed == ["sum", "mean"]
    assert len(calls) == 3


def test_other_code_or_libraries_are_another_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, compute = counted()
    StepCache(tmp_path).result("sum", {}, compute)
    monkeypatch.setattr(module, "_environment", lambda: {"source": "edited"})
    StepCache(tmp_path).result("sum", {}, compute)
    assert len(calls) == 2


def test_the_environment_names_the_source_and_the_numerical_libraries() -> None:
    environment = module._environment()
    assert set(environment) == {"source", "numpy", "scipy", "scikit-learn"}
    assert environment["numpy"] == np.__version__


def test_the_source_is_that_of_every_module_of_stage_2_and_of_the_store() -> None:
    sources = (file for package in module._PACKAGES for file in module._sources(files(package)))
    found = {Path(str(file)).resolve().relative_to(ROOT).as_posix() for file in sources}
    wanted = {path.relative_to(ROOT).as_posix() for top in ("analyze", "store") for path in (ROOT / top).rglob("*.py")}
    assert found == wanted
    assert {
        "analyze/experiments/probing_report.py",
        "analyze/compute/step_cache.py",
        "store/reading/feature_store.py",
    } <= found


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_a_damaged_file_is_computed_again(tmp_path: Path, damage: bytes | None) -> None:
    calls, compute = counted()
    StepCache(tmp_path).result("sum", {}, compute)
    (path,) = tmp_path.rglob("*.npz")
    content = path.read_bytes()
    middle = content.index(b"value") + 8
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.write_bytes(flipped if damage is None else damage)
    steps = StepCache(tmp_path)
    assert steps.result("sum", {}, compute).values["value"] == 1.5
    assert (len(calls), steps.computed) == (2, ["sum"])
    assert path.read_bytes() == content


def test_a_file_under_the_wrong_name_is_not_taken(tmp_path: Path) -> None:
    calls, compute = counted()
    StepCache(tmp_path).result("sum", {"rows": 1}, compute)
    (path,) = tmp_path.rglob("*.npz")
    steps = StepCache(tmp_path)
    steps.result("sum", {"rows": 2}, compute)
    (other,) = (found for found in tmp_path.rglob("*.npz") if found != path)
    other.write_bytes(path.read_bytes())
    StepCache(tmp_path).result("sum", {"rows": 2}, compute)
    assert len(calls) == 3


def test_of_several_keys_only_those_that_are_missing_are_computed_together(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def compute(missing: list[str]) -> dict[str, CachedResult]:
        asked.append(missing)
        return {key: CachedResult({"key": key}) for key in missing}

    StepCache(tmp_path).results("saliency", {"a": {"x": 1}, "b": {"x": 2}}, compute)
    found = StepCache(tmp_path).results("saliency", {"b": {"x": 2}, "c": {"x": 3}, "d": {"x": 4}}, compute)
    assert asked == [["a", "b"], ["c", "d"]]
    assert {key: result.values["key"] for key, result in found.items()} == {"b": "b", "c": "c", "d": "d"}


def test_without_a_folder_results_live_as_long_as_the_steps() -> None:
    calls, compute = counted()
    steps = StepCache(None)
    for _ in range(3):
        steps.result("sum", {}, compute)
    assert (len(calls), steps.computed) == (1, ["sum"])


def test_an_interrupted_computation_leaves_nothing(tmp_path: Path) -> None:
    def interrupt() -> CachedResult:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StepCache(tmp_path).result("sum", {}, interrupt)
    assert not list(tmp_path.rglob("*"))


def test_a_file_in_place_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "steps").write_text("")
    with pytest.raises(VadprobeError, match=r"steps is a file; name a folder"):
        StepCache(tmp_path / "steps")


def test_objects_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="the array names must hold numbers"):
        StepCache(tmp_path).result("sum", {}, lambda: CachedResult(arrays={"names": np.array([{}])}))
    with pytest.raises(ValueError, match="not JSON compliant"):
        StepCache(tmp_path).result("sum", {}, lambda: CachedResult({"value": float("nan")}))


@laws(100)
@given(json_values, json_values)
def test_equal_digests_mean_equal_inputs(left: Any, right: Any) -> None:
    steps = StepCache(None)
    for value in (left, right):
        steps.result("step", {"value": value}, CachedResult)
    same = steps.runs[0].digest == steps.runs[1].digest
    assert same == (json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True))
    assert steps.runs[1].reused == same


@laws(100)
@given(json_values)
def test_values_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    folder = tmp_path_factory.mktemp("steps")
    StepCache(folder).result("step", {}, lambda: CachedResult({"value": value}))
    assert StepCache(folder).result("step", {}, CachedResult).values == {"value": value}
