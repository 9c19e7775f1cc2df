"""Tiny backbones: real classes in the real layout, the same weights from the same seed, alive enough to test with."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from tests.support.models.described import described, loaded
from tests.support.oracles.prompt_passes import Clips
from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone
from vadprobe.extract.demo.tiny_models import TINY_MODELS
from vadprobe.extract.model.backbone import RANDOM_WEIGHTS_CARD, Backbone
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import SHIPPED

MakeClips = Callable[[int, int], Sequence[np.ndarray]]


def revision(folder: Path) -> str:
    return described(folder).spec.revision


@pytest.mark.parametrize("family", TINY_MODELS)
def test_the_same_seed_gives_the_same_checkpoint(
    tiny_backbones: Mapping[str, Path], tmp_path: Path, family: str
) -> None:
    again = make_tiny_backbone(tmp_path / "again", family)
    assert revision(again) == revision(tiny_backbones[family])


def test_another_seed_gives_other_weights_of_the_same_names(tiny_backbones: Mapping[str, Path], tmp_path: Path) -> None:
    mine = load_file(tiny_backbones["internvl"] / "model.safetensors")
    other = load_file(make_tiny_backbone(tmp_path / "other", "internvl", seed=1) / "model.safetensors")
    assert mine.keys() == other.keys()
    matrices = [name for name, value in mine.items() if value.ndim == 2]
    assert not any(torch.equal(mine[name], other[name]) for name in matrices)


@pytest.mark.parametrize(
    ("family", "model", "text"),
    [
        ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLTextModel"),
        ("internvl", "InternVLForConditionalGeneration", "Qwen2Model"),
        ("internvl-llama", "InternVLForConditionalGeneration", "LlamaModel"),
        ("llava_onevision", "LlavaOnevisionForConditionalGeneration", "Qwen2Model"),
        ("qwen3_vl", "Qwen3VLForConditionalGeneration", "Qwen3VLTextModel"),
    ],
)
def test_they_are_the_real_classes(tiny_backbones: Mapping[str, Path], family: str, model: str, text: str) -> None:
    found = loaded(tiny_backbones[family]).model
    assert (type(found).__name__, type(found.get_decoder()).__name__) == (model, text)
    assert sum(parameter.numel() for parameter in found.parameters()) < 2_000_000


def test_a_whole_checkpoint_is_left_alone_and_an_unfinished_one_made_again(tmp_path: Path) -> None:
    folder = make_tiny_backbone(tmp_path / "tiny", "internvl")
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert make_tiny_backbone(folder, "internvl") == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    whole = revision(folder)
    (folder / RANDOM_WEIGHTS_CARD).unlink()
    (folder / "model.safetensors").write_bytes(b"half")
    make_tiny_backbone(folder, "internvl")
    assert revision(folder) == whole


@pytest.mark.parametrize(("family", "seed"), [("internvl-llama", 3), ("qwen2_5_vl", 0)])
def test_a_checkpoint_of_another_recipe_is_replaced_and_nothing_of_it_stays(
    tmp_path: Path, family: str, seed: int
) -> None:
    folder = make_tiny_backbone(tmp_path / "tiny", "internvl")
    make_tiny_backbone(folder, family, seed)
    assert revision(folder) == revision(make_tiny_backbone(tmp_path / "fresh", family, seed))


def test_an_unknown_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VadprobeError, match=r"must be one of qwen2_5_vl, internvl, internvl-llama, .*, got 'gpt2'"):
        make_tiny_backbone(tmp_path / "tiny", "gpt2")
    assert not (tmp_path / "tiny").exists()


def test_the_random_state_of_the_caller_is_untouched(tmp_path: Path) -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    make_tiny_backbone(tmp_path / "tiny", "internvl")
    assert torch.equal(torch.rand(3), wanted)


def test_what_the_video_shows_is_felt_everywhere(backbone: Backbone, random_clips: MakeClips) -> None:
    """Random layers that forget the video, or fade away, would make every later test pass on constants."""
    dark, bright = (np.full((4, 56, 56, 3), level, dtype=np.uint8) for level in (10, 240))
    found = Clips.of(backbone, [dark, bright, random_clips(1, 4)[0]], [1.0] * 3).alone("Is it?")
    size = found.hidden_states.square().mean(-1).sqrt()
    assert 0.5 < float(size.min()) < float(size.max()) < 4
    assert float(found.head_outputs.square().mean(-1).sqrt().min()) > 0.05
    for features in (found.hidden_states[:, 1:], found.head_outputs.flatten(2)):
        for one, other in ((0, 1), (0, 2), (1, 2)):
            change = (features[one] - features[other]).norm(dim=-1) / features[one].norm(dim=-1)
            assert float(change.min()) > 0.02


def test_the_tokenizer_knows_every_shipped_prompt(tiny_backbones: Mapping[str, Path]) -> None:
    for folder in tiny_backbones.values():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        for prompt in SHIPPED.values():
            ids = tokenizer.encode(prompt.text, add_special_tokens=False)
            assert tokenizer.decode(ids) == prompt.text
            assert len(ids) < len(prompt.text) / 2
