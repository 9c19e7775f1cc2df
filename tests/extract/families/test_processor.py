"""Models without inputs of their own: inputs from the library's processor; the user is told, or the model refused."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer
from transformers.models.auto import video_processing_auto
from transformers.utils import is_torchvision_available
from transformers.utils.import_utils import BACKENDS_MAPPING, DummyObject
from transformers.video_utils import VideoMetadata

from tests.support.models.described import described, without_weights
from tests.support.models.torchvision import needs_torchvision
from tests.support.oracles.processor_passes import CPU, FRAMES, QUESTION, SECONDS, Checkpoints, family_of, noise
from tests.support.videos.drawn import write
from vadprobe.extract.families import processor as processor_module
from vadprobe.extract.families.processor import ProcessorFamily
from vadprobe.extract.model.backbone import Backbone
from vadprobe.flows.command_line import main
from vadprobe.store.errors import VadprobeError


def test_sequences_end_at_the_prompt(other: Backbone) -> None:
    tokenizer = family_of(other).processor.tokenizer
    (found,) = family_of(other).inputs(QUESTION, noise(2), SECONDS, CPU, torch.float32)
    assert found["attention_mask"].all()
    for row in found["input_ids"]:
        text = tokenizer.decode(row)
        assert text.endswith(f"{QUESTION}<|im_end|>\n<|im_start|>assistant\n")
        assert text.count("<|im_start|>") == 2


def test_pixels_have_the_dtype_of_the_model(other: Backbone) -> None:
    (found,) = family_of(other).inputs(QUESTION, noise(1), SECONDS[:1], CPU, torch.bfloat16)
    floats = {name: value.dtype for name, value in found.items() if value.is_floating_point()}
    assert floats
    assert {dtype for name, dtype in floats.items() if name.startswith("pixel")} == {torch.bfloat16}
    assert found["input_ids"].dtype == torch.int64


def test_frames_of_different_sizes_go_one_by_one(other: Backbone) -> None:
    clips, family = [*noise(1), *noise(1, (120, 60))], family_of(other)
    found = list(family.inputs(QUESTION, clips, SECONDS, CPU, torch.float32))
    assert [len(inputs["input_ids"]) for inputs in found] == [1, 1]
    assert [len(one["input_ids"]) for one in family.inputs(QUESTION, noise(2), SECONDS, CPU, torch.float32)] == [2]


@dataclass(frozen=True)
class Padding(ProcessorFamily):
    """A processor that pads what it gets, on one side."""

    always: bool = False

    def _process(
        self, prompt: str, clips: Sequence[np.ndarray], seconds: Sequence[float], before: str
    ) -> dict[str, Any]:
        found = super()._process(prompt, clips, seconds, before)
        if self.always or len(clips) > 1:
            found["attention_mask"][0, :2] = 0
        return found


def padding(backbone: Backbone, always: bool) -> Padding:
    family = family_of(backbone)
    return Padding(family.name, family.processor, family.medium, None, always)


def test_sequences_of_different_lengths_go_one_by_one(other: Backbone) -> None:
    found = padding(other, always=False).inputs(QUESTION, noise(2), SECONDS, CPU, torch.float32)
    assert [one["input_ids"].shape[0] for one in found] == [1, 1]


def test_a_tokenizer_without_a_padding_token_goes_one_by_one(checkpoints: Checkpoints) -> None:
    family = described(checkpoints["llava"]).family
    assert isinstance(family, ProcessorFamily)
    family.processor.tokenizer.pad_token = None
    found = list(family.inputs(QUESTION, noise(2), SECONDS, CPU, torch.float32))
    assert [one["input_ids"].shape[0] for one in found] == [1, 1]


def test_a_single_clip_with_padding_is_refused(other: Backbone) -> None:
    with pytest.raises(VadprobeError, match="pads the tokens of a single clip"):
        list(padding(other, always=True).inputs(QUESTION, noise(1), SECONDS[:1], CPU, torch.float32))


@needs_torchvision
def test_a_video_has_the_seconds_of_the_clip(checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    family = described(checkpoints["qwen2_vl"]).family
    assert isinstance(family, ProcessorFamily)
    seen: list[VideoMetadata] = []
    original = type(family.processor.video_processor).__call__

    def watch(self: Any, videos: Any, **settings: Any) -> Any:
        seen.extend(item for row in settings["video_metadata"] for item in (row if isinstance(row, list) else [row]))
        return original(self, videos, **settings)

    monkeypatch.setattr(type(family.processor.video_processor), "__call__", watch)
    list(family.inputs(QUESTION, noise(2), [0.96, 4.0], CPU, torch.float32))
    assert [times.timestamps for times in seen] == [
        pytest.approx([0.16, 0.48, 0.80]),
        pytest.approx([4 / 6, 2, 20 / 6]),
    ]
    assert [times.sampled_fps for times in seen] == pytest.approx([FRAMES / 0.96, FRAMES / 4.0])


def write_job(folder: Path, videos: Path, checkpoint: Path) -> Path:
    job = folder / "job.toml"
    job.write_text(
        f'workspace = "."\nprompts = ["coarse"]\n[dataset]\nname = "set"\nvideos = "{videos}"\n'
        '[store]\nroot = "features"\n[[sampling]]\nunit = "segment"\nclip_length = 8\nframes_per_clip = 2\n'
        f'[backbone]\nkey = "other"\npath = "{checkpoint}"\ndtype = "float32"\n'
    )
    return job


def test_the_user_is_told_that_this_is_slower(
    checkpoints: Checkpoints, video_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write_job(tmp_path, video_folder, checkpoints["llava"])
    sentence = "Backbone 'other' is of the family 'llava', for which vadprobe has no inputs of its own"
    assert main(["plan", str(job)]) == 0
    assert sentence in capsys.readouterr().out
    assert main(["extract", str(job)]) == 0
    assert sentence in capsys.readouterr().err
    assert main(["extract", str(job)]) == 0
    assert sentence not in capsys.readouterr().err  # nothing is left to compute


def test_families_with_inputs_of_their_own_need_no_note(backbone: Backbone) -> None:
    assert backbone.description.notes == ()


# What is told and what is refused


def test_the_description_tells_the_shape(other: Backbone) -> None:
    spec, family = other.description.spec, family_of(other)
    assert spec.hidden_size == 128
    assert spec.head_shapes == other.parts.shapes
    assert spec.n_layers == len(other.parts.blocks)
    assert spec.family == family.name
    recipe = family.recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["frames_as"] == ("image" if spec.family in ("llava", "idefics3", "gemma3") else "video")
    assert recipe["pixels"].split()[0] == ("torchvision" if is_torchvision_available() else "pillow")


def test_a_system_message_reaches_the_model(checkpoints: Checkpoints) -> None:
    plain, family = (described(checkpoints["llava"], **more).family for more in ({}, {"system": "You are a guard."}))
    assert isinstance(family, ProcessorFamily)
    (found,) = family.inputs(QUESTION, noise(1), SECONDS[:1], CPU, torch.float32)
    text = family.processor.tokenizer.decode(found["input_ids"][0])
    assert text.startswith("<|im_start|>system\nYou are a guard.<|im_end|>\n<|im_start|>user\n<image>")
    assert family.recipe() == {**plain.recipe(), "system": "You are a guard."}
    with pytest.raises(VadprobeError, match="reads as a control token"):
        described(checkpoints["llava"], system="<image>")


def test_settings_of_other_families_are_refused(checkpoints: Checkpoints) -> None:
    with pytest.raises(VadprobeError, match="leave frame_size out"):
        described(checkpoints["llava"], frame_size=(56, 56))
    with pytest.raises(VadprobeError, match="known only for internvl"):
        described(checkpoints["llava"], chat="internvl-chat")


def test_a_plan_refuses_what_the_processor_refuses(other: Backbone) -> None:
    family = family_of(other)
    family.prefix_mode(QUESTION, 2)
    with pytest.raises(VadprobeError, match=r"the prompt .* reads as a control token"):
        family.prefix_mode("What is <|im_end|>?", 2)

    class Refusing:
        def __getattr__(self, name: str) -> Any:
            return getattr(family.processor, name)

        def __call__(self, **settings: Any) -> Any:
            raise ValueError("no clip\nof mine")

    with pytest.raises(VadprobeError, match=r"cannot prepare a clip of 2 frames as .*: ValueError: no clip of mine"):
        replace(family, processor=Refusing()).prefix_mode(QUESTION, 2)


@pytest.fixture
def bare(checkpoints: Checkpoints, tmp_path: Path) -> Path:
    """A checkpoint without its weights, to be changed."""
    return without_weights(checkpoints["llava"], tmp_path / "checkpoint")


def test_a_checkpoint_whose_template_takes_no_image_is_refused(bare: Path) -> None:
    template = bare / "chat_template.jinja"
    template.write_text(template.read_text().replace("<image>", "").replace("\\n", ""))
    with pytest.raises(VadprobeError, match="has no place for a video or an image"):
        described(bare)
    template.unlink()
    with pytest.raises(VadprobeError, match="is missing, or has no place"):
        described(bare)


def test_a_checkpoint_without_a_processor_is_refused(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:  # a family for which the library has no processor: it gives the tokenizer
        tokenizer = AutoTokenizer.from_pretrained(bare)
        patch.setattr(processor_module.AutoProcessor, "from_pretrained", lambda *arguments, **options: tokenizer)
        with pytest.raises(VadprobeError, match=r"no processor for images and text, only a \w*Tokenizer"):
            described(bare)
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(VadprobeError, match=r"cannot be read .* load image processor"):
        described(bare)


def test_a_model_with_an_encoder_for_the_prompt_is_refused(bare: Path) -> None:
    (bare / "config.json").write_text(json.dumps({"model_type": "florence2"}))
    with pytest.raises(VadprobeError, match="read the prompt with an encoder"):
        described(bare)


def test_a_model_whose_attention_is_of_another_make_has_layers_and_no_heads(bare: Path) -> None:
    (bare / "config.json").write_text(json.dumps({"model_type": "fuyu"}))
    assert described(bare).spec.describe_heads() == "36 blocks without heads"


NO_TORCHVISION = r"models of the family 'qwen2_vl' .* Install torchvision, in the version"


def test_a_missing_torchvision_is_named(checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library puts such a class in the place of each that needs a package which is not there."""

    class Qwen2VLVideoProcessor(metaclass=DummyObject):
        _backends = ("torchvision",)

    there = BACKENDS_MAPPING["torchvision"]
    monkeypatch.setitem(BACKENDS_MAPPING, "torchvision", (lambda: False, *there[1:]))
    monkeypatch.setattr(video_processing_auto, "video_processor_class_from_name", lambda name: Qwen2VLVideoProcessor)
    with pytest.raises(VadprobeError, match=NO_TORCHVISION):
        described(checkpoints["qwen2_vl"])


@pytest.mark.slow
def test_a_missing_torchvision_is_named_where_there_never_was_one(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """In a process that finds no torchvision from its start; the test above tells the library so."""
    program = (
        "import sys\n"
        "sys.modules['torchvision'] = None\n"
        "from vadprobe.flows.command_line import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    write(tmp_path / "clip.mp4", 8)
    job = write_job(tmp_path, tmp_path, checkpoints["qwen2_vl"])
    done = subprocess.run(
        [sys.executable, "-c", program, "plan", str(job)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 2
    assert re.search(NO_TORCHVISION, done.stderr)
    assert "Traceback" not in done.stderr
