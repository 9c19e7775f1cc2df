"""The demo's backbone: copied whole, left alone when it is there, refused where another one lies."""

import json
from pathlib import Path

import pytest

from vadprobe.flows.jobs.demo.ingredients import install_backbone, preset
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.errors import VadprobeError

PRESETS = ("hiprobe", "headhunt", "second-set", "sampling-rates", "folder")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "backbone_card.json").write_text(json.dumps({"kind": "demo-captioner", "note": "a"}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_backbone_is_copied_once(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "backbones" / "demo-captioner"
    assert install_backbone(target, source)["note"] == "a"
    assert {path.name for path in target.iterdir()} == {"backbone_card.json", "model.safetensors"}
    (target / "kept").touch()
    install_backbone(target, source)
    assert (target / "kept").exists()
    assert [path.name for path in target.parent.iterdir()] == ["demo-captioner"]


def test_another_backbone_is_never_replaced(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    install_backbone(target, source)
    (source / "backbone_card.json").write_text(json.dumps({"kind": "demo-captioner", "note": "b"}))
    with pytest.raises(VadprobeError, match="got another one"):
        install_backbone(target, source)


@pytest.mark.parametrize(
    ("card", "words"),
    [(None, "got no card"), ({"kind": "other", "note": "a"}, "got 'other'"), ({"kind": 1}, "must be an object with")],
)
def test_only_a_demo_backbone_is_installed(card: object, words: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    if card is not None:
        (source / "backbone_card.json").write_text(json.dumps(card))
    with pytest.raises(VadprobeError, match=words):
        install_backbone(tmp_path / "target", source)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_name_the_demo_s_backbone_at_its_own_size(name: str, tmp_path: Path) -> None:
    with preset(name) as path:
        backbone = load_job(path, tmp_path).config.backbone
    assert (backbone.key, backbone.path) == ("demo-captioner", "backbones/demo-captioner")
    assert backbone.frame_size == (112, 168)
