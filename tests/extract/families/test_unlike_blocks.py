"""Backbones whose blocks differ: Qwen3.5, most of whose blocks have no heads, and Gemma 4, with heads of two widths."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, NemotronHConfig, NemotronHForCausalLM
from transformers.video_utils import VideoMetadata

from tests.support.extractions import make_extractor, run_all, store_of
from tests.support.models.described import described, loaded
from tests.support.models.torchvision import needs_torchvision
from tests.support.oracles.eager_attention import gemma4_heads, qwen3_5_heads
from tests.support.oracles.eager_reference import ROUNDING
from tests.support.oracles.processor_passes import CPU, QUESTION, SECONDS, Checkpoints, captures, family_of, noise
from tests.support.oracles.prompt_passes import PROMPTS, Clips, difference, first_token_report
from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone
from vadprobe.extract.model.backbone import Backbone, load
from vadprobe.extract.model.blocks.text_blocks import TextBlocks
from vadprobe.extract.model.blocks.text_shape import text_shape
from vadprobe.extract.model.chosen_parts import ChosenParts, capture_chosen
from vadprobe.extract.model.texts.generation import TextGeneration
from vadprobe.extract.model.texts.word_tokens import WordTokens
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.format.prompts import SHIPPED, Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.verification.verify import verify

pytestmark = pytest.mark.usefixtures("loaded_once")
WITH_HEADS = (3, 7)


@pytest.fixture(scope="module")
def hybrid_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_tiny_backbone(tmp_path_factory.mktemp("hybrid"), "qwen3_5")


@pytest.fixture(scope="module")
def hybrid(hybrid_folder: Path) -> Backbone:
    return load(described(hybrid_folder, frame_size=(64, 96)), "cpu", threads=1)


def test_a_hybrid_has_heads_in_some_blocks(hybrid: Backbone) -> None:
    spec = hybrid.description.spec
    assert (spec.n_layers, spec.n_heads, spec.head_dim) == (8, 8, 32)
    assert spec.heads == tuple((block, head) for block in WITH_HEADS for head in range(8))
    assert hybrid.parts.shapes == spec.head_shapes
    found = text_shape("qwen3_5", hybrid.model.config)
    assert found["block_heads"] == spec.block_heads


@needs_torchvision
def test_inputs_of_a_hybrid_are_those_of_the_library(hybrid_folder: Path) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (5, 64, 96, 3), dtype=np.uint8)
    processor = AutoProcessor.from_pretrained(hybrid_folder)
    turns = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": QUESTION}]}]
    middles = [24 * (2 * part + 1) / 10 for part in range(5)]
    wanted = processor(
        text=[processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)],
        videos=[torch.from_numpy(clip).permute(0, 3, 1, 2)],
        video_metadata=[VideoMetadata(total_num_frames=24, fps=25.0, frames_indices=middles)],
        do_sample_frames=False,
        return_tensors="pt",
        size={"shortest_edge": 64 * 64, "longest_edge": 160 * 160},
        cap_pixels_per_frame=False,
    )
    rows, columns = wanted["video_grid_thw"][0].tolist()[1:]
    family = described(hybrid_folder, frame_size=(16 * rows, 16 * columns)).family
    inputs = family.prepare([clip], [24 / 25], CPU)
    mine = {**inputs.vision, **family.language_inputs(family.tokenize(QUESTION, 5), inputs)}
    assert mine.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(mine[name], value.to(mine[name].dtype)), name


def test_features_of_a_hybrid_equal_generate_and_the_eager_reference(hybrid: Backbone) -> None:
    clips = Clips.of(hybrid, noise(2))
    captured, report = clips.alone(), first_token_report(hybrid.model, clips.raw())
    states = report.hidden_states[0]
    for layer in range(8):
        assert difference(captured.hidden_states[:, layer], states[layer][:, -1]) <= ROUNDING
    assert difference(hybrid.model.get_decoder().norm(captured.hidden_states[:, -1]), states[-1][:, -1]) <= ROUNDING
    arguments = clips.arguments()
    positions = hybrid.model.model.get_rope_index(**arguments)[0][-3:]
    assert captured.head_outputs.shape == (2, 8, 8, 32)
    for block in range(8):
        mine = captured.head_outputs[:, block]
        if block in WITH_HEADS:
            assert difference(mine, qwen3_5_heads(hybrid.model, block, states[block], positions)) <= ROUNDING
            assert float(torch.cdist(mine, mine).flatten(1).topk(56).values.min()) > 1e-3  # heads are told apart
        else:
            assert not mine.any()


@pytest.mark.parametrize("n_blocks", [1, 4, 5])
def test_a_pass_of_a_hybrid_that_ends_early_has_the_same_layers(hybrid: Backbone, n_blocks: int) -> None:
    clips = Clips.of(hybrid, noise(1))
    whole, part = clips.alone(), clips.alone(n_blocks=n_blocks)
    assert torch.equal(part.hidden_states, whole.hidden_states[:, : n_blocks + 1])
    assert torch.equal(part.head_outputs, whole.head_outputs[:, :n_blocks])


def test_chosen_heads_and_layers_of_a_hybrid_are_those_of_the_whole_pass(hybrid: Backbone) -> None:
    clips = Clips.of(hybrid, noise(1))
    whole = clips.alone()

    def chosen(parts: ChosenParts) -> torch.Tensor:
        arguments = {**clips.arguments(), "mm_encoder_outputs": clips.encoded()}
        return capture_chosen(hybrid.model, hybrid.parts, arguments, parts)

    heads = torch.cat([whole.head_outputs[:, 7, 2], whole.head_outputs[:, 3, 5]], dim=1)
    assert difference(chosen(ChosenParts("head", ((7, 2), (3, 5)))), heads) <= ROUNDING
    assert difference(chosen(ChosenParts("layer", ((2,),))), whole.hidden_states[:, 2]) <= ROUNDING


def test_a_hybrid_writes_the_text_of_the_library(hybrid: Backbone) -> None:
    frames = noise(1)
    clips = Clips.of(hybrid, frames, [0.7])
    sampling, prompt = Sampling("segment", 2 * clips.frames, clips.frames), Prompt("question", PROMPTS[0])
    spec = FeatureSpec("", "", 0, sampling, hybrid.description.spec, prompt, {"prefix": "independent"})
    (mine,) = TextGeneration(hybrid, 5)(frames, [0.7], spec, WordTokens())
    given = clips.raw()
    wanted = hybrid.model.generate(**given, max_new_tokens=5, do_sample=False)[0, given["input_ids"].shape[1] :]
    assert list(mine.tokens) == wanted[: len(mine.tokens)].tolist()
    assert len(mine.masses) == len(wanted)


def test_an_extraction_of_a_hybrid_holds_these_features(hybrid: Backbone, video_folder: Path, tmp_path: Path) -> None:
    prompts = (SHIPPED["coarse"], SHIPPED["question"])
    # One clip at a time: a recurrent state takes up the rounding of all tokens, which depends on the shape of a batch.
    extractor = make_extractor(video_folder, tmp_path, hybrid.description, prompts, batch_clips=1)
    assert run_all(extractor) == [{}]
    for number, prompt in enumerate(prompts):
        store = store_of(extractor, number)
        assert (store.spec.recipe["prefix"], store.spec.format_version) == ("independent", 2)
        assert verify(extractor.plan.samplings[0].writers[number].path).problems == ()
        clip = store.clips.clip(4)
        with Decoder(20.0) as decoder:
            frames = decoder.read_clip(video_folder / f"{clip.video_id}.mp4", clip.frame_indices)
        seconds = (clip.stop_frame - clip.start_frame) / float(store.clips.fps[store.clips.video_codes[4]])
        alone = Clips.of(hybrid, [frames], [seconds]).alone(prompt.text)
        assert alone.answer_logits is not None
        rows = np.array([4])
        kept = (store.hidden_states(rows, range(9)), store.head_outputs(rows, store.spec.backbone.heads))
        heads = alone.head_outputs[:, WITH_HEADS].flatten(1, 2)
        for mine, theirs in zip(
            (*kept, store.answer_logits(rows)), (alone.hidden_states, heads, alone.answer_logits), strict=True
        ):
            assert difference(torch.from_numpy(mine), theirs) <= ROUNDING


def test_state_spaces_and_experts_have_no_heads() -> None:
    """The language model of Nemotron-H: one kind of layer a block, of which attention is one."""
    kinds = ["linear_attention", "moe", "full_attention", "mlp"]
    sizes = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 24, "hidden_size": 64}
    state = {"mamba_num_heads": 4, "mamba_head_dim": 16, "n_groups": 2, "ssm_state_size": 8, "chunk_size": 8}
    experts = {"n_routed_experts": 4, "moe_intermediate_size": 32, "moe_shared_expert_intermediate_size": 32}
    config = NemotronHConfig(vocab_size=50, layers_block_type=kinds, intermediate_size=64, **sizes, **state, **experts)
    torch.manual_seed(0)
    model = NemotronHForCausalLM(config).eval()
    parts = TextBlocks.of(model)
    assert parts.shapes == ((0, 0), (0, 0), (4, 24), (0, 0))
    sent: list[torch.Tensor] = []
    model.model.layers[2].mixer.o_proj.register_forward_pre_hook(lambda _, args: sent.append(args[0][:, -1]))
    with torch.no_grad(), parts.watch() as seen:
        report = model(torch.arange(20)[None], output_hidden_states=True).hidden_states
    assert seen.heads.keys() == {2}
    assert difference(seen.heads[2][:, 0], sent[0]) == 0.0
    for layer in range(4):
        assert difference(seen.hidden[layer][:, 0], report[layer][:, -1]) <= ROUNDING
    laid = parts.heads({2: seen.heads[2][:, 0]}, torch.stack([seen.hidden[n][:, 0] for n in range(5)], dim=1))
    assert laid.shape == (1, 4, 4, 24)


@needs_torchvision
def test_heads_of_two_widths_equal_the_eager_reference(checkpoints: Checkpoints) -> None:
    gemma = loaded(checkpoints["gemma4"])
    (inputs,) = family_of(gemma).inputs(QUESTION, noise(1), SECONDS[1:], CPU, torch.float32)
    states = list(first_token_report(gemma.model, inputs).hidden_states[0])
    (captured,) = captures(gemma, noise(1), SECONDS[1:])
    spec = gemma.description.spec
    assert spec.head_shapes == ((8, 16), (8, 16), (8, 32)) * 2
    for block, (heads, width) in enumerate(spec.head_shapes):
        mine = captured.head_outputs[:, block]
        assert difference(mine[:, :heads, :width], gemma4_heads(gemma.model, block, states)) <= ROUNDING
        assert not mine[..., width:].any()
    chosen = capture_chosen(gemma.model, gemma.parts, inputs, ChosenParts("head", ((2, 1), (0, 3))), with_head=True)
    wanted = torch.cat([captured.head_outputs[:, 2, 1], captured.head_outputs[:, 0, 3, :16]], dim=1)
    assert difference(chosen, wanted) <= ROUNDING
