"""Checkpoints as people have them: pointers of Git LFS, shards that are missing or cut, quantised weights."""

import dataclasses
import importlib.util
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.models.described import described, loaded
from tests.support.samples.jobs import write_job
from vadprobe.extract.model import backbone
from vadprobe.extract.model.backbone import check_described
from vadprobe.extract.model.checkpoint.quantisation import Quantisation, quantisation_of
from vadprobe.extract.model.checkpoint.weight_files import INDEX, WEIGHTS
from vadprobe.flows.command_line import main
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.stand_ins import stand_in

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 4700000\n".format("0" * 64)
PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"
ANNEX = "../.git/annex/objects/xx/yy/MD5E-s4700000--{0}.mp4/MD5E-s4700000--{0}.mp4\n".format("0" * 32)


@pytest.fixture
def checkpoint(tiny_backbones: Mapping[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_backbones["internvl"], tmp_path / "checkpoint"))


@pytest.fixture
def sharded(checkpoint: Path) -> Path:
    """The same checkpoint with its weights in three files and an index."""
    weights = load_file(checkpoint / WEIGHTS)
    (checkpoint / WEIGHTS).unlink()
    places = {name: f"model-0000{number % 3 + 1}-of-00003.safetensors" for number, name in enumerate(sorted(weights))}
    for file in set(places.values()):
        part = {name: value for name, value in weights.items() if places[name] == file}
        save_file(part, checkpoint / file, metadata={"format": "pt"})
    (checkpoint / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    check_described(described(checkpoint))
    return checkpoint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (POINTER, "is a Git LFS pointer: the file itself (4.70 MB) was not fetched; run 'git lfs pull'"),
        (POINTER.replace("\n", "\next-0-x sha256:1\n", 1), "is a Git LFS pointer"),
        (ANNEX, "is a git-annex pointer: the file itself (4.70 MB) was not fetched"),
        (PAGE, "is a web page that was saved in its place"),
    ],
)
def test_what_stands_in_for_a_file_is_named(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    assert (stand_in(path) or "").startswith(said)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 40, b"version 1\nsize 3\n", b"{}", b"<video>", POINTER.encode() * 9999]
)
def test_other_files_are_themselves(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert stand_in(path) is None
    assert stand_in(tmp_path / "none") is None


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json", "config.json", "chat_template.jinja"])
def test_pointers_are_named_with_their_cure(checkpoint: Path, name: str) -> None:
    (checkpoint / name).write_text(POINTER)
    with pytest.raises(VadprobeError, match=rf"{name} is a Git LFS pointer: .*4\.70 MB.* run 'git lfs pull'\.$"):
        described(checkpoint)
    (checkpoint / "preprocessor_config.json").write_text(POINTER)
    with pytest.raises(VadprobeError, match="; so are 1 other file of that folder"):
        described(checkpoint)


def test_pointers_in_the_place_of_index_and_shards(sharded: Path) -> None:
    for path in (*sharded.glob("*.safetensors"), sharded / INDEX):
        path.write_text(POINTER)
    with pytest.raises(VadprobeError, match=r"model-00001-of-00003\.safetensors is a Git LFS pointer.* 3 other files"):
        described(sharded)


def _cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def _change(folder: Path, change: Callable[[bytes], bytes]) -> None:
    path = folder / "model-00001-of-00003.safetensors"
    path.write_bytes(change(path.read_bytes()))


def _swap(folder: Path) -> None:
    shutil.copy(folder / "model-00001-of-00003.safetensors", folder / "model-00002-of-00003.safetensors")


SHARD_FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda folder: (folder / "model-00002-of-00003.safetensors").unlink(),
                r"lacks model-00002-of-00003\.safetensors of 3 files that model\.safetensors\.index\.json names"),
    "cut": (lambda folder: _cut(folder / "model-00003-of-00003.safetensors", 1000),
            r"model-00003-of-00003\.safetensors is cut off: [\d,]+ of [\d,]+ bytes are there"),
    "cut in the header": (lambda folder: _change(folder, lambda content: content[:100]),
                          "is cut off: 100 B are there, but its header alone takes"),
    "empty": (lambda folder: _change(folder, lambda content: b""), "does not begin as a"),
    "longer": (lambda folder: _change(folder, lambda content: content + b"x"), "its header says"),
    "of another": (_swap, r"model-00002-of-00003\.safetensors lacks .*, which is in it by .*: they are of two"),
    "no index": (lambda folder: (folder / INDEX).write_text("[]"), "is not an index of weights"),
    "none": (lambda folder: (folder / INDEX).unlink(), r"holds no model\.safetensors and no .*; download"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SHARD_FAULTS)
def test_shards_that_are_missing_or_cut_are_said_without_reading_weights(sharded: Path, kind: str) -> None:
    fault, said = SHARD_FAULTS[kind]
    fault(sharded)
    with pytest.raises(VadprobeError, match=rf"backbone 'tiny' cannot be read: .*{said}") as caught:
        check_described(described(sharded))
    assert str(caught.value).count(". ") == 0
    with pytest.raises(VadprobeError, match=said):
        loaded(sharded)


def test_plan_says_it_before_anything_else(sharded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sharded / "model-00002-of-00003.safetensors").unlink()
    job = write_job(tmp_path, sharded, videos="none")
    job.write_text("\n".join(line for line in job.read_text().split("\n") if not line.startswith("frame_size")))
    assert main(["plan", str(job)]) == 2
    assert "lacks model-00002-of-00003.safetensors of 3 files that" in capsys.readouterr().err


# Quantisation

FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": True}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False}
BITSANDBYTES = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "quant_method": "bitsandbytes"}
PACKED = {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"]}


def _quantised(checkpoint: Path, settings: dict[str, Any], key: str = "quantization_config") -> Path:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, key: settings}))
    return checkpoint


@pytest.mark.parametrize(
    ("settings", "package"),
    [(AWQ, "gptqmodel"), (GPTQ, "gptqmodel"), (BITSANDBYTES, "bitsandbytes"), (PACKED, "compressed_tensors")],
)
def test_quantised_weights_need_their_package(checkpoint: Path, settings: dict[str, Any], package: str) -> None:
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(
        VadprobeError, match=r"backbone 'tiny' are quantised \(config\.json: .*\), which needs a package: .* Install it"
    ):
        described(_quantised(checkpoint, settings))


@pytest.mark.parametrize(
    "settings", [{"quant_method": "modelopt", "quant_algo": "NVFP4"}, {"group_size": 64, "bits": 4}]
)
def test_a_method_that_transformers_does_not_know_is_refused(checkpoint: Path, settings: dict[str, Any]) -> None:
    """Transformers would load such weights as if they were not quantised."""
    with pytest.raises(VadprobeError, match=r"which transformers cannot read here: .* is not quantised"):
        described(_quantised(checkpoint, settings))


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="fp8 needs accelerate")
def test_quantisation_is_said_and_is_part_of_the_recipe(checkpoint: Path) -> None:
    plain = described(checkpoint)
    assert plain.quantisation is None
    assert "quantisation" not in plain.recipe()
    found = described(_quantised(checkpoint, FP8))
    assert found.notes[0].startswith("tiny: its weights are quantised (fp8), which changes the features")
    recipe = found.recipe()["quantisation"]
    assert {name: recipe[name] for name in ("quant_method", "activation_scheme")} == {
        "quant_method": "fp8", "activation_scheme": "dynamic",
    }  # fmt: skip
    other = Quantisation("fp8", {**FP8, "weight_block_size": [64, 64]})
    assert other.recipe()["digest"] != recipe["digest"]


def test_quantisation_is_found_wherever_it_stands() -> None:
    assert quantisation_of({}) is None
    assert quantisation_of({"quantization_config": None}) is None
    for content in ({"quantization_config": AWQ}, {"text_config": {"quantization_config": AWQ}},
                    {"compression_config": AWQ}, {"llm_config": {"quantization_config": AWQ}}):  # fmt: skip
        assert quantisation_of(content) == Quantisation("awq", AWQ)
    unnamed = quantisation_of({"quantization_config": {"load_in_8bit": True}})
    assert unnamed is not None
    assert unnamed.method == "bitsandbytes"


def test_an_awq_model_that_transformers_would_compute_in_another_dtype_is_refused(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.quantizers.quantizer_awq import AwqQuantizer

    monkeypatch.setattr(AwqQuantizer, "validate_environment", lambda self, **settings: None)
    monkeypatch.setattr(AwqQuantizer, "update_dtype", lambda self, dtype: torch.float16)
    _quantised(checkpoint, AWQ)
    with pytest.raises(VadprobeError, match="computed in float16, got dtype = 'bfloat16'; set"):
        described(checkpoint, dtype="bfloat16")
    assert dataclasses.asdict(described(checkpoint, dtype="float16").spec)["dtype"] == "float16"


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="fp8 needs accelerate")
@pytest.mark.parametrize(("quantised", "place"), [(True, {"": "cpu"}), (False, None)])
def test_quantised_weights_are_loaded_where_they_are_needed(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, quantised: bool, place: dict[str, str] | None
) -> None:
    """They cannot be moved afterwards, unlike others, which are loaded as before."""
    asked: dict[str, Any] = {}

    def remember(source: str, **options: Any) -> None:
        asked.update(options)
        raise OSError("not loaded")

    monkeypatch.setattr(backbone.AutoModelForImageTextToText, "from_pretrained", remember)
    with pytest.raises(VadprobeError, match="not loaded"):
        loaded(_quantised(checkpoint, FP8) if quantised else checkpoint)
    assert asked.get("device_map") == place


def _in_fp8(checkpoint: Path) -> Path:
    """The same checkpoint with its language model's projections in blocks of float8, as fp8 checkpoints come."""
    found: dict[str, torch.Tensor] = {}
    for name, value in load_file(checkpoint / WEIGHTS).items():
        if not (name.endswith("proj.weight") and "language_model" in name):
            found[name] = value
            continue
        scales = torch.zeros(-(-value.shape[0] // 128), -(-value.shape[1] // 128))
        packed = torch.empty_like(value, dtype=torch.float8_e4m3fn)
        for i, j in torch.cartesian_prod(*map(torch.arange, scales.shape)).tolist():
            block = value[128 * i : 128 * i + 128, 128 * j : 128 * j + 128].float()
            scales[i, j] = block.abs().max() / 448
            packed[128 * i : 128 * i + 128, 128 * j : 128 * j + 128] = (block / scales[i, j]).to(packed.dtype)
        found |= {name: packed, name.replace(".weight", ".weight_scale_inv"): scales}
    save_file(found, checkpoint / WEIGHTS, metadata={"format": "pt"})
    plain = ["vision_tower", "multi_modal_projector", "lm_head"]
    return _quantised(checkpoint, {**FP8, "modules_to_not_convert": plain})


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="fp8 needs accelerate")
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU multiplies in float8")
def test_an_fp8_checkpoint_gives_other_values_near_those_without(checkpoint: Path) -> None:
    tokens = torch.tensor([[5, 6, 7, 8]])

    def states(model: Any) -> torch.Tensor:
        with torch.no_grad():
            found = model.get_decoder()(input_ids=tokens, attention_mask=torch.ones_like(tokens))
        return torch.as_tensor(found.last_hidden_state)

    plain = states(loaded(checkpoint).model)
    quantised = states(loaded(_in_fp8(checkpoint)).model)
    assert 0.01 < (quantised - plain).norm() / plain.norm() < 0.2
