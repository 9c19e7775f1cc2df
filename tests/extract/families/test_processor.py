"""Models without inputs of their own here: what the library's processor makes, and what its generate() reports."""

import functools
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer
from transformers.models.auto import video_processing_auto
from transformers.utils import is_torchvision_available
from transformers.utils.import_utils import BACKENDS_MAPPING, DummyObject
from transformers.video_utils import VideoMetadata

from tests.support.extractions import features_of, make_extractor, run_all, store_of
from tests.support.models import other_backbones
from tests.support.models.torchvision import needs_torchvision
from tests.support.oracles.eager_reference import ROUNDING, eager_features
from tests.support.profiles import LONG
from vadprobe.extract.configuration import BackboneConfig
from vadprobe.extract.families import processor as generic
from vadprobe.extract.families.processor import ProcessorFamily
from vadprobe.extract.model.backbone import Backbone, Description, describe, load
from vadprobe.extract.model.capture import Captured, TextBlocks, capture
from vadprobe.extract.model.forward import Forward
from vadprobe.extract.video.decoder import Decoder
from vadprobe.flows.command_line import main
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.verification.verify import verify

CPU = torch.device("cpu")
FRAMES, SECONDS = 3, [0.96, 4.0]
QUESTION = "Does anything abnormal happen in this video? Answer with yes or no."
NAMES = ("hidden_states", "head_outputs", "answer_logits")
KINDS = ("llava", "idefics3", "gemma3", pytest.param("qwen2_vl", marks=needs_torchvision))
Checkpoints = Mapping[str, Path]


pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("others")
    return {kind: other_backbones.make(folder / kind, kind) for kind in other_backbones.BUILDERS}


def described(folder: Path, **settings: Any) -> Description:
    return describe(BackboneConfig(**{"key": "other", "path": str(folder), "dtype": "float32", **settings}), folder)


def family_of(backbone: Backbone) -> ProcessorFamily:
    family = backbone.description.family
    assert isinstance(family, ProcessorFamily)
    return family


@pytest.fixture(scope="module", params=KINDS)
def other(request: pytest.FixtureRequest, checkpoints: Checkpoints) -> Backbone:
    """A loaded tiny model of each family, in float32."""
    return load(described(checkpoints[request.param]), "cpu", threads=1)


def noise(count: int, size: tuple[int, int] = (70, 90)) -> list[np.ndarray]:
    make = np.random.default_rng(count)
    return [make.integers(0, 256, (FRAMES, *size, 3), dtype=np.uint8) for _ in range(count)]


def from_library(backbone: Backbone, clip: np.ndarray, seconds: float, prompt: str) -> dict[str, Any]:
    """The library's documented call for one conversation: media in the messages, tokenized with the template."""
    processor = family_of(backbone).processor
    medium: list[dict[str, Any]]
    settings: dict[str, Any] = {}
    if backbone.description.spec.family == "qwen2_vl":
        medium = [{"type": "video", "video": torch.from_numpy(clip).permute(0, 3, 1, 2)}]
        middles = [(2 * frame + 1) * seconds / (2 * FRAMES) * 25 for frame in range(FRAMES)]
        times = VideoMetadata(total_num_frames=round(seconds * 25), fps=25.0, frames_indices=middles)
        settings = {"do_sample_frames": False, "video_metadata": [times]}
    else:
        medium = [{"type": "image", "image": Image.fromarray(frame)} for frame in clip]
    turns = [{"role": "user", "content": [*medium, {"type": "text", "text": prompt}]}]
    return dict(
        processor.apply_chat_template(
            turns,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
            processor_kwargs=settings,
        )
    )


def captures(backbone: Backbone, clips: Sequence[np.ndarray], seconds: Sequence[float], **more: Any) -> list[Captured]:
    inputs = family_of(backbone).inputs(QUESTION, clips, seconds, CPU, backbone.model.dtype)
    answers = backbone.description.answer_ids
    return [capture(backbone.model, backbone.parts, one, answers, whole=True, **more) for one in inputs]


def difference(mine: Tensor, theirs: Tensor) -> float:
    assert mine.shape == theirs.shape
    return float((mine - theirs).abs().max())


@pytest.fixture(scope="module")
def generated(other: Backbone) -> Any:
    """The library's own report about a clip, from its own inputs, beside the capture of the same clip."""
    (clip,) = noise(1)
    inputs = from_library(other, clip, SECONDS[1], QUESTION)
    with torch.no_grad():
        report = other.model.generate(
            **inputs,
            max_new_tokens=1,
            do_sample=False,
            output_hidden_states=True,
            output_logits=True,
            return_dict_in_generate=True,
        )
    (captured,) = captures(other, [clip], SECONDS[1:])
    return captured, report, inputs


# Inputs


def test_inputs_are_those_of_the_library(other: Backbone, generated: Any) -> None:
    wanted = generated[2]
    (mine,) = family_of(other).inputs(QUESTION, noise(1), SECONDS[1:], CPU, torch.float32)
    assert mine.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(torch.as_tensor(mine[name]), torch.as_tensor(value)), name


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

    def _process(self, prompt: str, clips: Sequence[np.ndarray], seconds: Sequence[float]) -> dict[str, Any]:
        found = super()._process(prompt, clips, seconds)
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


# Features


def test_every_layer_before_the_last_is_exactly_what_generate_reports(other: Backbone, generated: Any) -> None:
    captured, report, _ = generated
    spec = other.description.spec
    assert captured.hidden_states.shape == (1, spec.n_layers + 1, spec.hidden_size)
    for layer in range(spec.n_layers):
        assert difference(captured.hidden_states[:, layer], report.hidden_states[0][layer][:, -1]) == 0.0, layer
    with torch.inference_mode():
        last = other.model.get_decoder().norm(captured.hidden_states[:, -1])
    assert difference(last, report.hidden_states[0][-1][:, -1]) == 0.0


def test_answer_logits_are_those_of_generate(other: Backbone, generated: Any) -> None:
    captured, report, _ = generated
    assert difference(captured.answer_logits, report.logits[0][:, list(other.description.answer_ids)]) == 0.0


def test_logits_are_those_of_the_whole_model(other: Backbone, generated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some models scale or bound them; the rows of the language head alone would give others."""
    original = other.model.forward

    @functools.wraps(original)
    def scaled(*arguments: Any, **settings: Any) -> Any:
        output = original(*arguments, **settings)
        assert output.logits.shape[1] == 1  # the head ran on the last position only
        output.logits = output.logits / 4
        return output

    monkeypatch.setattr(other.model, "forward", scaled)
    (captured,) = captures(other, noise(1), SECONDS[1:])
    assert difference(captured.answer_logits, generated[0].answer_logits / 4) == 0.0


@pytest.mark.parametrize("other", [kind for kind in KINDS if kind != "gemma3"], indirect=True)
def test_heads_and_layers_equal_the_eager_reference(other: Backbone, generated: Any) -> None:
    """Not Gemma, as the reference has no sliding windows and no norms behind the attention."""
    captured, report, inputs = generated
    spec = other.description.spec
    embeddings = report.hidden_states[0][0]
    positions = torch.arange(embeddings.shape[1])[None]
    if hasattr(other.model.model, "get_rope_index"):
        known = {name: inputs[name] for name in ("input_ids", "mm_token_type_ids", "video_grid_thw", "attention_mask")}
        positions = other.model.model.get_rope_index(**known)[0]
    reference = eager_features(other.model, embeddings, positions)
    assert captured.head_outputs.shape == (1, spec.n_layers, spec.n_heads, spec.head_dim)
    assert difference(captured.head_outputs, reference.heads) <= ROUNDING
    assert difference(captured.hidden_states, reference.hidden) <= ROUNDING


def test_heads_are_what_enters_the_output_projection(other: Backbone, generated: Any) -> None:
    """In any family: projected, they are what the attention adds."""
    captured, _, inputs = generated
    sent: list[Tensor] = []
    handles = [
        projection.register_forward_hook(lambda module, args, output: sent.append(output[:, -1]))
        for projection in other.parts.projections
    ]
    try:
        with torch.no_grad():
            other.model(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    for layer, projection in enumerate(other.parts.projections):
        with torch.inference_mode():
            assert difference(projection(captured.head_outputs[:, layer].flatten(1)), sent[layer]) <= ROUNDING


def test_several_clips_in_a_batch_equal_each_clip_alone(other: Backbone) -> None:
    clips = noise(2)
    (batch,) = captures(other, clips, SECONDS)
    for number, clip in enumerate(clips):
        (alone,) = captures(other, [clip], SECONDS[number : number + 1])
        for name in NAMES:
            assert difference(getattr(batch, name)[number : number + 1], getattr(alone, name)) <= ROUNDING, name
    assert difference(batch.hidden_states[0, 1:], batch.hidden_states[1, 1:]) > 1e-3


@pytest.mark.parametrize("depth", [1, 3])
def test_a_pass_that_ends_early_has_the_same_layers(other: Backbone, generated: Any, depth: int) -> None:
    (captured,) = captures(other, noise(1), SECONDS[1:], depth=depth)
    assert torch.equal(captured.hidden_states, generated[0].hidden_states[:, : depth + 1])
    assert torch.equal(captured.head_outputs, generated[0].head_outputs[:, :depth])
    assert captured.answer_logits is None


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_runs_and_is_near(checkpoints: Checkpoints, kind: str) -> None:
    half = load(described(checkpoints[kind], dtype="bfloat16"), "cpu", threads=1)
    single = load(described(checkpoints[kind]), "cpu", threads=1)
    (mine,), (wanted,) = (captures(backbone, noise(1), SECONDS[:1]) for backbone in (half, single))
    assert mine.hidden_states.dtype == torch.bfloat16
    error = (mine.hidden_states.float() - wanted.hidden_states).norm() / wanted.hidden_states.norm()
    assert 0 < float(error) < 0.05


# End to end


@pytest.mark.parametrize("other", KINDS if LONG else [KINDS[0], KINDS[3]], indirect=True)  # frames as images, a video
def test_an_extraction_holds_these_features(
    other: Backbone, video_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = (SHIPPED["coarse"], SHIPPED["question"])
    extractor = make_extractor(video_folder, tmp_path, other.description, prompts)
    assert run_all(extractor) == [{}]
    family = family_of(other)
    for number, prompt in enumerate(prompts):
        store = store_of(extractor, number)
        assert store.spec.recipe["prefix"] == "independent"
        assert store.spec.recipe["inputs"] == "AutoProcessor"
        assert verify(extractor.plan.samplings[0].writers[number].path).problems == ()
        features, clips = features_of(store), store.clips
        assert len(clips) == 9
        with Decoder(20.0) as decoder:
            for row in (0, 4, 8):
                clip = clips.clip(row)
                frames = decoder.read_clip(video_folder / f"{clip.video_id}.mp4", clip.frame_indices)
                seconds = (clip.stop_frame - clip.start_frame) / float(clips.fps[clips.video_codes[row]])
                (inputs,) = family.inputs(prompt.text, [frames], [seconds], CPU, torch.float32)
                alone = capture(other.model, other.parts, inputs, other.description.answer_ids, whole=True)
                for name in NAMES:
                    assert difference(torch.from_numpy(features[name][row : row + 1]), getattr(alone, name)) <= ROUNDING


def test_clips_of_different_sizes_come_back_in_order(other: Backbone, tmp_path: Path, video_folder: Path) -> None:
    spec = make_extractor(video_folder, tmp_path, other.description).plan.samplings[0].writers[0].spec
    clips = [*noise(1), *noise(1, (120, 60))]
    (together,) = Forward(other)(clips, SECONDS, [spec], 4)
    (shallow,) = Forward(other)(clips, SECONDS, [spec], 2)
    assert shallow.answer_logits is None
    for number, clip in enumerate(clips):
        (alone,) = Forward(other)([clip], SECONDS[number : number + 1], [spec], 4)
        for name in NAMES:
            assert torch.equal(getattr(together, name)[number : number + 1], getattr(alone, name)), name
        assert torch.equal(shallow.hidden_states[number], alone.hidden_states[0, :3])


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
    assert (spec.n_layers, spec.n_heads, spec.hidden_size) == (4, 8, 128)
    assert spec.head_dim == (32 if spec.family == "gemma3" else 16)
    assert spec.family == family.name
    recipe = family.recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["frames_as"] == ("video" if spec.family == "qwen2_vl" else "image")
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
        described(checkpoints["llava"], chat="papers")


def test_a_plan_refuses_what_the_processor_refuses(other: Backbone) -> None:
    family = family_of(other)
    family.check(QUESTION, 2)
    with pytest.raises(VadprobeError, match=r"the prompt .* reads as a control token"):
        family.check("What is <|im_end|>?", 2)

    class Refusing:
        def __getattr__(self, name: str) -> Any:
            return getattr(family.processor, name)

        def __call__(self, **settings: Any) -> Any:
            raise ValueError("no clip\nof mine")

    with pytest.raises(VadprobeError, match=r"cannot prepare a clip of 2 frames as .*: ValueError: no clip of mine"):
        replace(family, processor=Refusing()).check(QUESTION, 2)


@pytest.fixture
def bare(checkpoints: Checkpoints, tmp_path: Path) -> Path:
    """A checkpoint without its weights, to be changed."""
    for file in checkpoints["llava"].iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


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
        patch.setattr(generic.AutoProcessor, "from_pretrained", lambda *arguments, **options: tokenizer)
        with pytest.raises(VadprobeError, match=r"no processor for images and text, only a \w*Tokenizer"):
            described(bare)
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(VadprobeError, match=r"cannot be read .* load image processor"):
        described(bare)


def test_models_without_such_heads_are_refused(bare: Path) -> None:
    for kind, reason in (("fuyu", "0 of 36 have one"), ("florence2", "read the prompt with an encoder")):
        (bare / "config.json").write_text(json.dumps({"model_type": kind}))
        with pytest.raises(VadprobeError, match=reason):
            described(bare)


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
    job = write_job(tmp_path, tmp_path, checkpoints["qwen2_vl"])
    done = subprocess.run(
        [sys.executable, "-c", program, "plan", str(job)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 2
    assert re.search(NO_TORCHVISION, done.stderr)
    assert "Traceback" not in done.stderr


def test_blocks_one_level_deeper_are_found(other: Backbone) -> None:
    class Outer:
        def get_decoder(self) -> Any:
            return Inner()

    class Inner:
        model = other.model.get_decoder()

    assert TextBlocks.of(Outer()).blocks == other.parts.blocks
