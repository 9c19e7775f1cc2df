"""Files of detectors: packed, read back to every bit, and refused in a sentence when damaged or hostile."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.builders import clip_table, feature_spec
from vadprobe.analyze.detector.description import described
from vadprobe.analyze.detector.detector import SCHEMA_VERSION, Detector
from vadprobe.analyze.detector.packing import pack, reference_of
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.probes.kinds.linear import LogisticProbe
from vadprobe.analyze.probes.kinds.mlp import MlpProbe
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.errors import VadprobeError

BACKBONE = {"key": "toy", "path": "/home/somebody/models/toy", "revision": None, "trust_remote_code": True}
CALIBRATION = {
    "unit": "video",
    "segment_label": "video",
    "fraction": 0.5,
    "seed": 3,
    "labels": [1, 0, 0, 1],
    "groups": [0, 1, 1, 2],
    "rows": [0, 1, 2, 3],
    "left_out": ["x"],
}
RESULT = {
    "preset": "toy",
    "dataset": "toys",
    "split": "test",
    "auc": 0.75,
    "ap_step": 0.5,
    "f1": None,
    "n_videos": 9,
    "n_frames": 99,
    "n_positive": 9,
    "intervals": {"auc": [0.6, 0.9], "auc_macro": [0.1, 0.2]},
    "bootstrap": {"confidence": 0.95},
    "caveats": ["Few videos."],
    "notes": ["Of the weights."],
}


def detector(n_heads: int = 2, **changes: Any) -> Detector:
    count = 4 * n_heads
    indices = tuple((number // 3, number % 3) for number in range(n_heads))
    probe = LogisticProbe(np.zeros(count), np.ones(count), np.linspace(-1, 1, count), 0.25)
    spec = feature_spec(clip_table(3))
    whole = Detector("toy", Selection("head", "rhi", indices), probe, Locator(1.5, 0.65), spec, {"dataset": "toys"})
    return replace(whole, **changes)


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """Write a detector's file after a change of its content."""

    def write(edit: Callable[[Any], object]) -> Path:
        content = detector().to_json()
        edit(content)
        (tmp_path / "detector.json").write_text(json.dumps(content))
        return tmp_path / "detector.json"

    return write


def test_a_packed_detector_is_read_back_and_says_what_it_is(tmp_path: Path) -> None:
    packed = pack(detector(), BACKBONE, CALIBRATION, RESULT)
    packed.write(tmp_path / "detector.json")
    again = Detector.read(tmp_path / "detector.json")
    assert again.to_json() == packed.to_json()
    assert again.packed["backbone"] == {name: BACKBONE[name] for name in ("key", "path", "revision")}
    assert again.packed["calibration"]["n_anomalous"] == 2
    assert again.packed["calibration"]["n_videos"] == 3
    assert again.packed["measured"]["intervals"] == {"auc": [0.6, 0.9]}
    assert again.notes == ("Of the weights.",)
    assert json.loads((tmp_path / "detector.json").read_text())["schema_version"] == SCHEMA_VERSION
    text = "\n".join(described(again))
    assert "AUC 0.7500 [0.6000, 0.9000], AP 0.5000 on toys (test, 9 videos)" in text
    assert "heads 0:0, 0:1, 8 features" in text
    assert "Note: Of the weights." in text
    kept = pack(again, BACKBONE, None, None).packed
    assert kept["calibration"] == again.packed["calibration"], "fitted elsewhere"
    assert "measured" not in kept, "by a result that is not there"


@pytest.mark.parametrize("path", ["backbones/toy", "owner/name", "~/models/toy", "/models/toy"])
def test_the_checkpoint_is_recorded_as_the_job_names_it(path: str) -> None:
    assert reference_of({"path": path, "trust_remote_code": True, "dtype": "float32"}) == {
        "path": path,
        "dtype": "float32",
    }


def test_a_file_without_a_version_is_of_the_first(edited: Callable[..., Path]) -> None:
    assert Detector.read(edited(lambda content: content.pop("schema_version"))).packed == {}


def test_a_detector_that_is_too_large_is_not_packed() -> None:
    spec = feature_spec(clip_table(3))
    wide = replace(spec, backbone=replace(spec.backbone, head_dim=40_000))
    probe = LogisticProbe(np.zeros(40_000), np.ones(40_000), np.linspace(-1, 1, 40_000), 0.0)
    large = detector(features=wide, selection=Selection("head", "rhi", ((0, 0),)), probe=probe)
    with pytest.raises(VadprobeError, match=r"must take at most 1.00 MB to be packed, got .* MB"):
        pack(large, BACKBONE, None, None)


def nest(content: Any) -> None:
    inner: Any = []
    for _ in range(50):
        inner = [inner]
    content["provenance"]["deep"] = inner


HOSTILE: dict[str, tuple[Callable[[Any], object], str]] = {
    "missing": (lambda c: c.pop("probe"), "lacks probe"),
    "part": (lambda c: c.update(locator=[1]), "'locator' must be of type dict, got list"),
    "preset": (lambda c: c.update(preset=5), "'preset' must be of type str"),
    "version": (lambda c: c.update(schema_version=99), "schema_version must be a number from 1 to 2, got 99"),
    "true": (lambda c: c.update(schema_version=True), "schema_version must be"),
    "depth": (nest, "nested deeper than 16"),
    "integer": (lambda c: c["provenance"].update(x=10**400), "more than 64 bits"),
    "text": (lambda c: c["probe"]["coef"].__setitem__(0, "1.5"), "'coef' must be a list of numbers"),
    "bool": (lambda c: c["probe"]["mean"].__setitem__(0, True), "'mean' must be a list of numbers"),
    "shape": (lambda c: c["probe"].update(mean=[[0.0], [1.0]]), "shapes of the probe's numbers"),
    "scalar": (lambda c: c["probe"].update(coef=1.0), "shapes of the probe's numbers"),
    "scale": (lambda c: c["probe"]["scale"].__setitem__(0, 0), "a scale is not above 0"),
    "kind": (lambda c: c["probe"].update(kind="pickle"), "kind must be one of"),
    "kind of kind": (lambda c: c["probe"].update(kind=["logistic"]), "not a sound detector"),
    "intercept": (lambda c: c["probe"].update(intercept="high"), "not a sound detector"),
    "sigma": (lambda c: c["locator"].update(sigma=1e12), "at most 65,536 segments"),
    "threshold": (lambda c: c["locator"].update(threshold="0.5"), "not a sound detector"),
    "locator": (lambda c: c["locator"].update(code="x"), "not a sound detector"),
    "head": (lambda c: c["selection"].update(indices=[[0, 0], [0, 9]]), r"names head \(0, 9\)"),
    "index": (lambda c: c["selection"].update(indices=[[0, 0.0], [0, 1]]), "whole numbers from 0"),
    "number": (lambda c: c["selection"].update(indices=7), "not a sound detector"),
    "features": (lambda c: c["selection"].update(indices=[[0, 0]]), "must have 4 features, got 8"),
    "frames": (lambda c: c["features"]["sampling"].update(clip_length=10**9), "clip_length must be"),
    "fraction": (lambda c: c["features"]["sampling"].update(frames_per_clip=2.5), "frames_per_clip must be"),
    "backbone": (lambda c: c["features"]["backbone"].update(n_layers=-1), "n_layers must be a positive"),
    "features part": (lambda c: c["features"].update(recipe=None), "recipe must be of type dict"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_or_hostile_file_is_a_sentence(edited: Callable[..., Path], name: str) -> None:
    edit, sentence = HOSTILE[name]
    with pytest.raises(VadprobeError, match=sentence):
        Detector.read(edited(edit))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[1, 2]", "must be an object, got list"),
        (b'{"preset": NaN}', "NaN, which is no number"),
        (b'{"preset": 1e999}', "beyond the range of float64"),
        (b"[" * 200_000, "not valid JSON"),
        (b'{"preset": ' + b"1" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_what_is_no_detector_is_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "detector.json").write_bytes(content)
    with pytest.raises(VadprobeError, match=sentence):
        Detector.read(tmp_path / "detector.json")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "detector.json").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(VadprobeError, match="1,073,741,824 bytes"):
        Detector.read(tmp_path / "detector.json")
    with pytest.raises(VadprobeError, match="is a folder"):
        Detector.read(tmp_path)
    with pytest.raises(VadprobeError, match="there is no detector"):
        Detector.read(tmp_path / "none.json")


def test_control_characters_of_a_file_do_not_reach_the_terminal(edited: Callable[..., Path]) -> None:
    path = edited(lambda content: content["provenance"].update(notes=["\x1b[31mred\x07"], dataset="a\x1b]0;b"))
    assert "\x1b" not in "\n".join(described(Detector.read(path)))


def test_a_probe_with_a_hidden_layer_is_read_back(tmp_path: Path) -> None:
    probe = MlpProbe(np.zeros(8), np.ones(8), np.ones((3, 8)), np.zeros(3), np.ones(3), 0.5)
    detector(probe=probe).write(tmp_path / "detector.json")
    assert Detector.read(tmp_path / "detector.json").probe.to_json() == probe.to_json()
