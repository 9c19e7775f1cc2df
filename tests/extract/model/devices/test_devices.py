"""A model whose parts lie in different places has the same features."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tests.support.oracles.prompt_passes import Clips
from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.model import backbone as backbone_module
from vadprobe.extract.model import capture as capture_module
from vadprobe.extract.model import devices
from vadprobe.extract.model.backbone import Backbone, load
from vadprobe.extract.model.blocks.text_blocks import TextBlocks
from vadprobe.extract.model.capture import Captured, capture
from vadprobe.extract.model.devices import choose_device
from vadprobe.store.errors import VadprobeError

PROMPTS = ("Yes?", "Does anything abnormal happen in this video?")
MakeClips = Callable[[int, int], Sequence[np.ndarray]]


def without(package: str) -> Callable[..., Any]:
    """`find_spec` on a machine that lacks a package."""

    def find(name: str, *rest: Any) -> Any:
        return None if name == package else importlib.util.find_spec(name, *rest)

    return find


def features(backbone: Backbone, clips: Sequence[np.ndarray]) -> list[Captured]:
    """Each prompt in a pass of its own, then all behind shared tokens."""
    made = Clips.of(backbone, clips)
    return [*(made.alone(prompt) for prompt in PROMPTS), *made.together(PROMPTS)]


def scattered(model: Any) -> dict[str, str]:
    """Every second block, the final norm and the language head on the disk, the rest in memory."""
    decoder = model.get_decoder()
    places = {f"model.{name}": "cpu" for name, part in model.model.named_children() if part is not decoder}
    places |= {f"model.{name}": "cpu" for name, _ in model.model.named_parameters(recurse=False)}
    text = "model.language_model"
    places |= {f"{text}.{name}": "cpu" for name in ("embed_tokens", "rotary_emb")}
    places |= {f"{text}.layers.{number}": ("cpu", "disk")[number % 2] for number in range(len(decoder.layers))}
    return places | {f"{text}.norm": "disk", "lm_head": "disk"}


@pytest.mark.filterwarnings("ignore:The following device_map keys:UserWarning")  # LLaVA's newline is no module
def test_parts_on_the_disk_give_the_same_features(
    backbone: Backbone, random_clips: MakeClips, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("accelerate", reason="spreading a model needs accelerate")
    monkeypatch.chdir(tmp_path)
    other = load(backbone.description, scattered(backbone.model), threads=1)
    assert other.device == torch.device("cpu")
    places = [next(block.parameters()).device.type for block in other.parts.blocks]
    assert places == ["cpu", "meta"] * 3  # weights from the disk are there only while their block runs
    assert other.model.get_output_embeddings().weight.is_meta
    clips = random_clips(2, 4)
    for mine, theirs in zip(features(other, clips), features(backbone, clips), strict=True):
        for name in ("hidden_states", "head_outputs"):  # the same operations on the same numbers: the same bits
            assert torch.equal(getattr(mine, name), getattr(theirs, name)), name
        assert mine.answer_logits is not None
        assert theirs.answer_logits is not None
        off = (mine.answer_logits - theirs.answer_logits).abs()
        assert bool((off <= rounding_of_logits(backbone, theirs)).all())
    assert not list(tmp_path.iterdir())


@torch.inference_mode()
def rounding_of_logits(backbone: Backbone, captured: Captured) -> Tensor:
    """Bound how far two orders of summing an answer's logit differ, (clips, 2).

    A head on the disk multiplies all its rows and one in memory only the two of the answers, so kernels add the same n
    products in other orders. Each sum is off by n eps / 2 times the sum of the sizes of its products at most.
    """
    last = backbone.model.get_decoder().norm(captured.hidden_states[:, -1])
    rows = backbone.model.get_output_embeddings().weight[list(backbone.description.answer_ids)]
    return last.shape[-1] * torch.finfo(last.dtype).eps * (last.abs() @ rows.abs().T)


def test_balanced_leaves_the_places_to_the_library(describe_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate", reason="spreading a model needs accelerate")
    asked: list[Any] = []
    original = backbone_module.AutoModelForImageTextToText.from_pretrained

    def remember(*arguments: Any, **settings: Any) -> Any:
        asked.append(settings.get("device_map"))
        return original(*arguments, **settings)

    monkeypatch.setattr(devices, "_spread", lambda: torch.device("cpu"))
    monkeypatch.setattr(backbone_module.AutoModelForImageTextToText, "from_pretrained", remember)
    loaded = load(describe_tiny("internvl"), "balanced", threads=1)
    load(describe_tiny("internvl"), "cpu", threads=1)
    assert asked == ["balanced", None]
    assert loaded.device == torch.device("cpu")


def test_balanced_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(VadprobeError, match=r"'balanced' spreads a model over the GPUs .* try 'auto' or 'cpu'"):
        choose_device("balanced")


def test_balanced_names_the_package_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices, "find_spec", without("accelerate"))
    with pytest.raises(VadprobeError, match=r"needs the package 'accelerate'.*pip install 'vadprobe\[spread\]'"):
        choose_device("balanced")
    monkeypatch.setattr(devices, "find_spec", lambda name: object())
    assert choose_device("balanced") == torch.device("cuda")


def test_a_model_in_several_places_is_not_compiled() -> None:
    with pytest.raises(ValidationError, match="needs the whole model on one device"):
        ExtractionConfig(compile=True, device="balanced")
    assert ExtractionConfig(compile=True, device="cuda:1").compile


class Places(nn.Module):
    """A text model whose second block lies on another device than the first, here the one without values."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([self._block("cpu"), self._block("meta")])
        self.head = nn.Linear(4, 5, device="meta")
        self.config = SimpleNamespace(num_attention_heads=2)

    @staticmethod
    def _block(device: str) -> nn.Module:
        block = nn.Identity()
        block.self_attn = nn.Identity()
        block.self_attn.o_proj = nn.Linear(4, 4, device=device)
        return block

    def get_decoder(self) -> nn.Module:
        return self

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def model(self, hidden: torch.Tensor, **rest: Any) -> Any:
        for block in self.layers:
            projection: Any = block.get_submodule("self_attn.o_proj")
            hidden = block(projection(hidden.to(projection.weight.device)))
        return SimpleNamespace(last_hidden_state=hidden)


def test_features_from_several_devices_are_brought_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "_require_finite", lambda captured: None)  # there are no values
    model = Places()
    found = capture(model, TextBlocks.of(model), {"hidden": torch.zeros(3, 7, 4)}, (1, 2))
    assert found.answer_logits is not None
    values = (found.hidden_states, found.head_outputs, found.answer_logits)
    assert [value.device.type for value in values] == ["meta"] * 3
    assert [tuple(value.shape) for value in values] == [(3, 3, 4), (3, 2, 2, 2), (3, 2)]
