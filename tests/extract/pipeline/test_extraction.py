"""Extractions end to end: right features in the right rows, also when something is done again or added."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.extractions import (
    ARRAYS,
    PROMPTS,
    SEGMENTS,
    WHOLE,
    assert_bit_equal,
    features_of,
    largest_difference,
    make_extractor,
    refuse_to_load,
    run_all,
    store_of,
)
from tests.support.oracles.eager_reference import ROUNDING
from tests.support.oracles.prompt_passes import blocks_run, first_token_report
from tests.support.profiles import some
from vadprobe.extract.model import shared_prefix
from vadprobe.extract.model.backbone import Backbone, Description, load
from vadprobe.extract.pipeline import extraction
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.video import decode_pool
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.errors import StoreError
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify

pytestmark = pytest.mark.usefixtures("loaded_once")
DescribeTiny = Callable[..., Description]


@pytest.fixture(scope="module", params=some(["internvl", "internvl-llama", "qwen2_5_vl"], 2))
def whole_run(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    video_folder: Path,
    describe_tiny: DescribeTiny,
) -> tuple[Extractor, list[dict[int, str]]]:
    """Two samplings and two prompts over three videos, for each family."""
    root = tmp_path_factory.mktemp("root")
    extractor = make_extractor(video_folder, root, describe_tiny(request.param), samplings=(SEGMENTS, WHOLE))
    return extractor, run_all(extractor)


def test_every_clip_is_written_and_verified(whole_run: tuple[Extractor, list[dict[int, str]]]) -> None:
    extractor, failures = whole_run
    assert failures == [{}, {}]
    assert extractor.pending() == []
    for position, n_clips in enumerate((9, 3)):
        for prompt in range(2):
            store = store_of(extractor, prompt, position)
            assert len(store.clips) == n_clips
            assert store.written.all()
            assert store.failures == {}
            found = verify(store.path)
            assert (found.problems, found.n_rows, found.n_failed) == ((), n_clips, 0)


def test_each_row_holds_what_generate_reports_for_its_clip(
    whole_run: tuple[Extractor, list[dict[int, str]]], video_folder: Path
) -> None:
    """Clip, prompt and row belong together: every row is computed again alone, through the library's `generate`."""
    extractor, _ = whole_run
    description, model = extractor.description, extractor.forward.backbone.model
    norm = model.get_decoder().norm
    with Decoder() as decoder:
        for position, prompt in itertools.product(range(2), range(2)):
            store = store_of(extractor, prompt, position)
            features = features_of(store)
            for row in range(len(store.clips)):
                report = generate_for(store, row, description, model, video_folder, decoder)
                hidden = torch.cat([layer[:, -1] for layer in report.hidden_states[0]])
                mine = torch.tensor(features["hidden_states"][row])
                assert float((mine[:-1] - hidden[:-1]).abs().max()) <= ROUNDING
                assert float((norm(mine[-1]) - hidden[-1]).abs().max()) <= ROUNDING
                logits = report.logits[0][0, list(description.answer_ids)]
                assert float((torch.tensor(features["answer_logits"][row]) - logits).abs().max()) <= ROUNDING


@torch.inference_mode()
def generate_for(
    store: FeatureStore, row: int, description: Description, model: Any, videos: Path, decoder: Decoder
) -> Any:
    clip, family = store.clips.clip(row), description.family
    path = videos / f"{clip.video_id}.mp4"
    fps = decoder.probe(path)[1]
    frames = decoder.read_clip(path, clip.frame_indices)
    inputs = family.prepare([frames], [(clip.stop_frame - clip.start_frame) / fps], torch.device("cpu"))
    ids = family.tokenize(store.spec.prompt.text, store.spec.sampling.frames_per_clip)
    return first_token_report(model, {**family.language_inputs(ids, inputs), **inputs.vision})


def test_clips_and_prompts_have_features_of_their_own(whole_run: tuple[Extractor, list[dict[int, str]]]) -> None:
    extractor, _ = whole_run
    first, second = (features_of(store_of(extractor, prompt))["head_outputs"] for prompt in range(2))
    assert np.abs(first - second).max(axis=(1, 2, 3)).min() > 1e-3
    for one in range(len(first)):
        for other in range(one):
            assert np.abs(first[one] - first[other]).max() > 1e-4


def test_rows_are_told_apart_by_prompt_key_not_by_place(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor
) -> None:
    backwards = make_extractor(video_folder, tmp_path / "backwards", internvl, PROMPTS[::-1])
    run_all(backwards)
    for prompt in range(2):
        assert_bit_equal(features_of(store_of(backwards, 1 - prompt)), features_of(store_of(extracted, prompt)))


def test_the_batch_size_hardly_changes_a_feature(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor
) -> None:
    wanted = features_of(store_of(extracted))
    for size in (1, 100):
        other = make_extractor(video_folder, tmp_path / str(size), internvl, batch_clips=size)
        run_all(other)
        assert largest_difference(features_of(store_of(other)), wanted) <= ROUNDING


def test_the_vision_tower_runs_once_for_all_prompts(
    tmp_path: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = make_extractor(video_folder, tmp_path / "root", internvl)
    inner, calls = extractor.forward.backbone.model.model, []
    original = inner.get_image_features
    monkeypatch.setattr(inner, "get_image_features", lambda **given: calls.append(1) or original(**given))
    run_all(extractor)
    assert len(calls) == 3  # nine clips, four at a time


def test_bfloat16_features_are_stored_without_loss(
    tmp_path: Path, video_folder: Path, describe_tiny: DescribeTiny
) -> None:
    extractor = make_extractor(video_folder, tmp_path / "root", describe_tiny("internvl", dtype="bfloat16"))
    run_all(extractor)
    assert verify(store_of(extractor).path).problems == ()
    for values in features_of(store_of(extractor)).values():
        assert values.dtype == np.float32
        assert not np.any(values.view(np.uint32) & 0xFFFF)
        assert np.isfinite(values).all()


def test_a_loaded_backbone_serves_all_partitions(
    tmp_path: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []

    def count(description: Description, device: str, *options: Any, **more: Any) -> Backbone:
        loads.append(device)
        return load(description, device, *options, **more)

    monkeypatch.setattr(extraction, "load", count)
    run_all(make_extractor(video_folder, tmp_path / "root", internvl, samplings=(SEGMENTS, WHOLE)))
    assert loads == ["cpu"]


def test_prompts_in_passes_of_their_own_have_the_same_features_up_to_rounding(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor, copied_root: Path
) -> None:
    own = make_extractor(video_folder, tmp_path / "own", internvl, prefix="independent")
    run_all(own)
    for prompt in range(2):
        shared, alone = (store_of(one, prompt) for one in (extracted, own))
        assert (shared.spec.recipe["prefix"], alone.spec.recipe["prefix"]) == ("shared", "independent")
        mine, theirs = features_of(shared), features_of(alone)
        for name in ARRAYS:
            np.testing.assert_allclose(mine[name], theirs[name], rtol=0, atol=ROUNDING)
    with pytest.raises(StoreError, match=r"recipe.prefix: 'shared', not 'independent'"):
        make_extractor(video_folder, copied_root, internvl, prefix="independent")


def test_a_selection_is_computed_no_deeper_than_it_lies_and_has_the_same_bits(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor
) -> None:
    part = SEGMENTS.model_copy(update={"layers": (0, 2), "heads": ((1, 3), (2, 0)), "answers": False})
    some = make_extractor(video_folder, tmp_path / "some", internvl, samplings=(part,))
    with blocks_run(some.forward.backbone.parts.blocks) as ran:
        run_all(some)
    assert max(ran) == 2
    rows = np.arange(9)
    for prompt in range(2):
        mine, full = store_of(some, prompt), store_of(extracted, prompt)
        np.testing.assert_array_equal(mine.hidden_states(rows, [2, 0]), full.hidden_states(rows, [2, 0]))
        np.testing.assert_array_equal(mine.head_outputs(rows, [(2, 0)]), full.head_outputs(rows, [(2, 0)]))
        with pytest.raises(StoreError, match=r"it holds no answer_logits"):
            mine.answer_logits(rows)
        assert verify(mine.path).problems == ()


def test_a_template_with_the_text_before_the_video_shares_nothing_and_says_so(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor
) -> None:
    family: Any = internvl.family
    template = (
        "{%- for message in messages -%}<|im_start|>{{ message.role }}\n{{ message.content[1].text }}\n<video>"
        "<|im_end|>\n{%- endfor -%}<|im_start|>assistant\n"
    )
    other = replace(internvl, family=replace(family, chat=replace(family.chat, template=template)))
    extractor = make_extractor(video_folder, tmp_path / "root", other)
    assert extractor.plan.notes == (
        "segment-8-4: coarse, question run over the whole video again, because the checkpoint's chat template puts a "
        "prompt's text before the video, or into its tokens.",
    )
    assert run_all(extractor) == [{}]
    assert store_of(extractor).spec.recipe["prefix"] == "independent"
    assert make_extractor(video_folder, tmp_path / "asked", other, prefix="independent").plan.notes == ()
    assert extracted.plan.notes == ()


def test_a_second_run_has_nothing_to_do_and_loads_nothing(
    copied_root: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(copied_root)
    monkeypatch.setattr(extraction, "load", refuse_to_load)
    monkeypatch.setattr(decode_pool, "Decoder", refuse_to_load)
    again = make_extractor(video_folder, copied_root, internvl)
    assert again.pending() == []
    assert run_all(again) == [{}]
    changed = {name for name, time_changed in files_of(copied_root).items() if before.get(name) != time_changed}
    assert changed == set()


def files_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_positions_of_a_prompt_are_stores_from_one_pass(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, other = PROMPTS[0], replace(PROMPTS[1], before="A camera.")
    prompts = (plain, plain.at("last-vision"), plain.at("mean-prompt"), other.at("mean-vision"))
    more = make_extractor(video_folder, tmp_path, internvl, prompts)
    assert any("2 different texts before the video" in note for note in more.plan.notes)
    runs: list[int] = []
    original = shared_prefix.capture_positions
    monkeypatch.setattr(shared_prefix, "capture_positions", lambda *given: [runs.append(1), original(*given)][1])
    assert run_all(more) == [{}]
    assert len(runs) == 2 * 3  # two prompts, batches of 4, 4 and 1 clips
    stores = [store_of(more, number) for number in range(4)]
    assert [store.path.stem for store in stores] == [
        "coarse", "coarse-last-vision", "coarse-mean-prompt", "question-mean-vision",
    ]  # fmt: skip
    assert [store.spec.format_version for store in stores] == [1, 2, 2, 2]
    assert [store.spec.recipe["prefix"] for store in stores] == ["shared"] * 4
    assert stores[0].spec.digest == store_of(extracted).spec.digest
    assert largest_difference(features_of(stores[0]), features_of(store_of(extracted))) <= ROUNDING
    for number, store in enumerate(stores):
        assert verify(store.path).problems == ()
        assert store.spec.prompt == prompts[number]
    head = json.loads((stores[1].path / "hidden_states" / "zarr.json").read_text())["attributes"]["description"]
    assert head.startswith("Hidden state of the last vision token. Layer 0")
    kept = [features_of(store)["hidden_states"][:, 1:] for store in stores]
    for first, second in itertools.combinations(kept, 2):
        assert np.abs(first - second).max() > 1e-3


def test_a_prompt_added_later_is_computed_alone(
    tmp_path: Path, copied_root: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = SHIPPED["role"]
    stores = sorted(copied_root.glob("set/*/tiny/*.zarr"))
    before = [files_of(path) for path in stores]
    assert [path.stem for path in stores] == ["coarse", "question"]
    asked: list[int] = []
    original = shared_prefix.capture_positions

    def count(model: Any, parts: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        asked.append(inputs["input_ids"].shape[0])
        return original(model, parts, inputs, *rest)

    monkeypatch.setattr(shared_prefix, "capture_positions", count)
    more = make_extractor(video_folder, copied_root, internvl, (*PROMPTS, added))
    assert more.pending() == [(0, 0)]
    run_all(more)
    assert asked == [4, 4, 1]
    assert [files_of(path) for path in stores] == before
    together = make_extractor(video_folder, tmp_path / "together", internvl, (*PROMPTS, added))
    run_all(together)
    for prompt in range(3):
        assert_bit_equal(features_of(store_of(more, prompt)), features_of(store_of(together, prompt)))
