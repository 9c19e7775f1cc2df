"""The demo backbone from nothing, by a small recipe."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.support.models.described import loaded
from vadprobe.extract.demo.captioner.making import LOSSES, make_captioner
from vadprobe.extract.demo.captioner.recipe import Recipe, first_difference
from vadprobe.extract.model.checkpoint.card import BACKBONE_CARD
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_recipe: Recipe, small_clips: Path) -> Path:
    """Return a finished checkpoint; its folder of work lies beside it."""
    folder = tmp_path_factory.mktemp("making")
    (folder / "work").mkdir()
    (folder / "work" / "clips").symlink_to(small_clips)
    make_captioner(folder / "out", folder / "work", small_recipe, workers=1)
    return folder / "out"


def test_the_checkpoint_is_the_real_class_in_half_precision_with_a_card(made: Path, small_recipe: Recipe) -> None:
    backbone = loaded(made, frame_size=(112, 168))
    assert type(backbone.model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    weights = (made / "model.safetensors").read_bytes()
    assert len(weights) < 4_000_000
    card = read_json(made / BACKBONE_CARD)
    assert card["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert first_difference(small_recipe.as_json(), card["recipe"]) is None
    assert (card["kind"], card["steps"], card["frame_size"]) == ("demo-captioner", 3, [112, 168])
    assert set(card["losses"]) == set(LOSSES)


def test_the_tokenizer_knows_the_answers_yes_and_no(made: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(made)
    for word in ("Yes", "No", " suitcase", " fight"):
        assert len(tokenizer(word)["input_ids"]) == 1


def test_a_finished_checkpoint_is_left_alone(made: Path, small_recipe: Recipe) -> None:
    before = (made / BACKBONE_CARD).stat().st_mtime_ns
    assert make_captioner(made, made.parent / "elsewhere", small_recipe) == read_json(made / BACKBONE_CARD)
    assert (made / BACKBONE_CARD).stat().st_mtime_ns == before
    assert not (made.parent / "elsewhere").exists()


def test_another_recipe_is_refused_with_the_part_that_differs(made: Path, small_recipe: Recipe) -> None:
    other = replace(small_recipe, seed=1)
    with pytest.raises(VadprobeError, match=r"another recipe: seed must be 1, got 0\. Use another folder"):
        make_captioner(made, made.parent / "work", other)
    longer = replace(small_recipe, training=replace(small_recipe.training, caption_steps=9))
    with pytest.raises(VadprobeError, match=r"training\.caption_steps must be 9, got 2"):
        make_captioner(made.parent / "other", made.parent / "work", longer, workers=1)


def test_a_folder_with_other_content_is_refused_before_work_begins(tmp_path: Path, small_recipe: Recipe) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(VadprobeError, match="must be an empty folder or not exist"):
        make_captioner(tmp_path / "out", tmp_path / "work", small_recipe)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(("out", "work"), [("a", "a"), ("a", "a/work"), ("a/out", "a"), ("b/../a", "link/work")])
def test_folders_that_do_not_lie_apart_are_refused_before_work_begins(
    out: str, work: str, tmp_path: Path, small_recipe: Recipe
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(
        VadprobeError, match=r"must be two folders, neither of them inside the other, .* Name another folder for --work"
    ):
        make_captioner(tmp_path / out, tmp_path / work, small_recipe)
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_what_a_killed_run_of_the_same_process_number_left_is_removed(
    made: Path, tmp_path: Path, small_recipe: Recipe
) -> None:
    stale = tmp_path / f"again.{os.getpid()}.partial"
    stale.mkdir()
    (stale / "model.safetensors").write_text("cut")
    (stale / "old.json").write_text("{}")
    card = make_captioner(tmp_path / "again", made.parent / "work", small_recipe, workers=1)
    assert card == read_json(made / BACKBONE_CARD)
    assert {path.name for path in (tmp_path / "again").iterdir()} == {path.name for path in made.iterdir()}
    assert not stale.exists()
