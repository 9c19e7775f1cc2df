"""Clips of the pre-training: their sizes, their seeds, what they never show; shards that are whole or absent."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vadprobe.extract.demo.captioner.clips import PLAN, compressed, draw_clips, film_of, slice_of
from vadprobe.extract.demo.captioner.recipe import FRAME_SIZE, ClipRecipe, Recipe
from vadprobe.extract.demo.captioner.shards import Clips, draw_shards
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS, NAMED_LOOK_ALIKES
from vadprobe.extract.demo.scripts import write_scripts
from vadprobe.store.errors import VadprobeError


def test_a_shot_gives_the_planned_clips_again_and_again() -> None:
    first, second = (list(draw_clips(ClipRecipe(), 3, 1)) for _ in range(2))
    assert [len(clip.frames) for clip in first] == [count for _, count in PLAN]
    for one, other in zip(first, second, strict=True):
        assert one.frames.shape[1:] == (3, *FRAME_SIZE)
        assert one.frames.dtype == np.uint8
        assert np.array_equal(one.frames, other.frames)
        assert (one.facts, one.seconds) == (other.facts, other.seconds)


def test_a_slice_tells_what_its_two_frames_show() -> None:
    clip = next(clip for clip in draw_clips(ClipRecipe(), 3, 1) if clip.facts.activities)
    for number in range(len(clip.frames) // 2):
        one = slice_of(clip, number)
        assert np.array_equal(one.frames, clip.frames[2 * number : 2 * number + 2])
        assert one.facts.kinds <= clip.facts.kinds
        assert np.array_equal(one.places, clip.places[number : number + 1])


def test_scripts_hold_named_happenings_alone_and_vary() -> None:
    shots = [film_of(ClipRecipe(), 0, number).shot for number in range(40)]
    assert {shot.kind for shot in shots} <= {None, *NAMED_KINDS}
    assert {one.kind for shot in shots for one in shot.harmless} <= set(NAMED_LOOK_ALIKES)
    assert len({shot.place for shot in shots}) == 4
    assert len({shot.fps for shot in shots}) > 2


def test_no_seed_and_no_script_is_one_of_a_generated_set() -> None:
    recipe = ClipRecipe()
    seeds = {(recipe.namespace, shard, number) for shard in range(recipe.n_shards) for number in range(25)}
    shots = [film_of(recipe, shard, number).shot for shard in (0, 2) for number in range(4)]
    for version in (1, 2):
        for seed in (0, 1, 2, 4321, recipe.namespace):
            scripts = write_scripts(seed, 48, version=version)
            assert not {script.seed[:3] for script in scripts} & seeds
            assert not any(script.shot in shots for script in scripts)


def test_a_codec_changes_little() -> None:
    frames = np.stack([np.full((240, 320, 3), level, np.uint8) for level in (60, 90, 120)])
    found = compressed(frames, 24)
    assert found.shape == frames.shape
    assert np.abs(found.astype(int) - frames).max() < 6


def test_numbers_of_shards_and_shots_add_up() -> None:
    recipe = ClipRecipe(shots=60, held_out_shots=30, shots_per_shard=25)
    assert (recipe.n_held_out, recipe.n_shards) == (2, 5)
    assert [recipe.shots_of(shard) for shard in range(5)] == [25, 5, 25, 25, 10]


def test_shards_are_read_back(small_recipe: Recipe, small_clips: Path) -> None:
    clips = Clips(small_clips, range(small_recipe.clips.n_held_out, small_recipe.clips.n_shards))
    assert (clips.size(8), clips.size(16)) == (18, 12)
    drawn = [clip for clip in draw_clips(small_recipe.clips, 1, 0) if len(clip.frames) == 16]
    assert np.array_equal(clips.clip(16, 1).frames, drawn[1].frames)
    assert clips.clip(16, 1).facts == drawn[1].facts
    assert np.array_equal(clips.clip(16, 1).places, drawn[1].places)
    assert len(list(clips.all_facts())) == 30


def test_drawing_goes_on_where_it_stopped(small_recipe: Recipe, small_clips: Path) -> None:
    times = {path.name: path.stat().st_mtime_ns for path in small_clips.glob("0*")}
    whole = (small_clips / "0002.json").read_bytes()
    (small_clips / "0002.json").unlink()  # as if the shard had not been finished
    calls: list[tuple[int, int]] = []
    draw_shards(small_clips, small_recipe.clips, 1, lambda done, total: calls.append((done, total)))
    assert calls == [(2, 3), (3, 3)]
    assert (small_clips / "0002.json").read_bytes() == whole
    kept = [name for name in times if not name.startswith("0002")]
    assert all((small_clips / name).stat().st_mtime_ns == times[name] for name in kept)


def test_clips_of_another_recipe_are_refused(small_recipe: Recipe, small_clips: Path) -> None:
    with pytest.raises(VadprobeError, match=r"compressed must be 1\.0, got 0\.35"):
        draw_shards(small_clips, replace(small_recipe.clips, compressed=1.0), 1)
