"""A checkpoint's own card in the plan and the stores, and whether the videos are ones that vadprobe drew."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.extractions import SEGMENTS, dataset_in, make_extractor
from tests.support.models.described import described, without_weights
from vadprobe.extract.demo.surveillance import NAME, make_surveillance_set
from vadprobe.extract.model.backbone import Description
from vadprobe.extract.model.checkpoint.card import BACKBONE_CARD, short_card
from vadprobe.store.catalog.store_card import store_card
from vadprobe.store.datasets.dataset import is_drawn, read_manifest
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import DEMO_CAPTIONER

CARD = {
    "kind": DEMO_CAPTIONER,
    "note": "pre-trained on drawings of the same kind; says nothing about any real camera",
    "version": 1,
    "seed": 3,
    "weights_sha256": "0" * 64,
    "named": ["Fighting"],
    "recipe": {"steps": 900},
    "losses": {"caption": 0.5},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_backbones: Mapping[str, Path]) -> Path:
    folder = without_weights(tiny_backbones["internvl"], tmp_path_factory.mktemp("models") / "carded")
    (folder / "random_weights.json").unlink()
    (folder / BACKBONE_CARD).write_text(json.dumps(CARD))
    return folder


@pytest.fixture(scope="module")
def carded(checkpoint: Path) -> Description:
    return described(checkpoint)


@pytest.fixture(scope="module")
def drawn_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `make_surveillance_set` leaves it, its videos in place of which others lie."""
    folder = tmp_path_factory.mktemp("drawn") / "any name"
    make_surveillance_set(folder, n_videos=16, seconds=(0.5, 0.6))
    return folder


def test_the_card_is_read_whole_and_stored_short(carded: Description) -> None:
    assert carded.card == CARD
    assert not carded.random_weights
    kept = ("kind", "note", "version", "seed", "weights_sha256", "named")
    assert short_card(CARD) == {name: CARD[name] for name in kept}


def test_only_a_backbone_with_a_card_changes_the_recipe(
    carded: Description, internvl: Description, video_folder: Path, tmp_path: Path
) -> None:
    with_card = make_extractor(video_folder, tmp_path / "with", carded).plan
    without = make_extractor(video_folder, tmp_path / "without", internvl).plan
    recipes = [plan.samplings[0].writers[0].spec.recipe for plan in (with_card, without)]
    assert set(recipes[0]) - set(recipes[1]) == {"backbone_card", "drawn"}
    assert recipes[0]["backbone_card"] == short_card(CARD)
    assert recipes[0]["drawn"] is False
    assert with_card.cautions[0].startswith("MEANINGLESS")
    assert without.cautions == (
        "tiny has random weights: the numbers say nothing about the method or any real camera.",
    )
    assert "**MEANINGLESS: these videos" in store_card(with_card.samplings[0].writers[0].path.parent)


def test_drawn_videos_are_known_by_their_card_and_manifest_not_by_a_name(
    carded: Description, drawn_set: Path, video_folder: Path, tmp_path: Path
) -> None:
    drawn = read_manifest("renamed", drawn_set / "videos", drawn_set / "manifest")
    assert is_drawn(drawn)
    assert is_drawn(replace(drawn, videos=drawn.videos[:3], intervals=()))
    plan = make_extractor(drawn_set / "videos", tmp_path, carded, samplings=(SEGMENTS,)).plan
    assert plan.samplings[0].writers[0].spec.recipe["drawn"] is True
    assert plan.cautions == (f"tiny: {CARD['note']}.",)
    assert not is_drawn(replace(dataset_in(video_folder), name=NAME))


def test_a_video_put_among_the_drawn_ones_is_none(drawn_set: Path, video_folder: Path, tmp_path: Path) -> None:
    mixed = Path(shutil.copytree(drawn_set, tmp_path / "mixed"))
    assert is_drawn(dataset_in(mixed / "videos"))
    shutil.copy(video_folder / "first.mp4", mixed / "videos" / "mine.mp4")
    assert not is_drawn(dataset_in(mixed / "videos"))
    (mixed / "videos" / "mine.mp4").unlink()
    (mixed / "surveillance.json").write_text("no card")
    assert not is_drawn(dataset_in(mixed / "videos"))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"kind": 1, "note": "a"}', '{"kind": "a"}'])
def test_a_card_that_is_none_is_named(checkpoint: Path, tmp_path: Path, content: str) -> None:
    folder = without_weights(checkpoint, tmp_path / "damaged")
    (folder / BACKBONE_CARD).write_text(content)
    with pytest.raises(VadprobeError, match=r"backbone_card\.json"):
        described(folder)
