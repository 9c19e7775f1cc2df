"""Clips of the pre-training: their sizes, their seeds, what they never show; shards that are whole or absent."""

import signal
import time
from dataclasses import replace
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from vadprobe.extract.demo.captioner.clips import PLAN, compressed, draw_clips, film_of, shot_of, slice_of
from vadprobe.extract.demo.captioner.recipe import FRAME_SIZE, ClipRecipe, Recipe
from vadprobe.extract.demo.captioner.shards import Clips, draw_shards
from vadprobe.extract.demo.scenes.direction import RATES
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS, NAMED_LOOK_ALIKES, PLACES, Shot
from vadprobe.extract.demo.scripts import SECONDS, write_scripts
from vadprobe.store.errors import VadprobeError

PATIENCE = 30.0  # seconds in which a worker that was told to end must have ended


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


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    """Write the script of every shot of the recipe that the shipped backbone is made by."""
    recipe = ClipRecipe()
    found = [
        shot_of(recipe, shard, number) for shard in range(recipe.n_shards) for number in range(recipe.shots_of(shard))
    ]
    assert len(found) == recipe.shots + recipe.held_out_shots == 650
    return found


def test_scripts_hold_named_happenings_alone_and_vary(shots: list[Shot]) -> None:
    assert {shot.kind for shot in shots} == {None, *NAMED_KINDS}
    assert {one.kind for shot in shots for one in shot.harmless} == set(NAMED_LOOK_ALIKES)
    assert {shot.place for shot in shots} == set(PLACES)
    assert {shot.fps for shot in shots} == set(RATES)
    assert {shot.version for shot in shots} == {2}


def test_a_film_shows_its_script() -> None:
    assert film_of(ClipRecipe(), 3, 1).shot == shot_of(ClipRecipe(), 3, 1)


def test_no_generated_set_has_the_seeds_of_the_pre_training() -> None:
    assert ClipRecipe().namespace not in SECONDS  # seeds of sets begin with a version of the world
    for version in SECONDS:
        assert {script.seed[0] for script in write_scripts(0, 16, version=version)} == {version}


@pytest.mark.parametrize(
    ("seed", "n_videos", "version", "seconds"),
    [
        (0, 176, 2, None),  # the demo's sets; a smaller set is the beginning of a larger one
        (1, 176, 2, None),
        (0, 48, 1, None),  # sets of the tests
        (0, 16, 2, (0.5, 0.6)),
        (5, 16, 2, None),
        (4321, 48, 2, None),
        (ClipRecipe().namespace, 80, 2, None),
    ],
)
def test_no_script_of_the_pre_training_is_one_of_a_generated_set(
    seed: int, n_videos: int, version: int, seconds: tuple[float, float] | None, shots: list[Shot]
) -> None:
    scripts = write_scripts(seed, n_videos, seconds, version)
    assert len(scripts) == n_videos + 1
    assert not {script.shot for script in scripts} & set(shots)


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


@pytest.mark.slow
def test_drawing_that_is_interrupted_leaves_no_worker(tmp_path: Path) -> None:
    before = set(active_children())
    at_work: set[BaseProcess] = set()

    def interrupt(done: int, total: int) -> None:
        assert total == 5
        if done:  # one worker is in the midst of 25 shots, the other begins with the next 25
            at_work.update(set(active_children()) - before)
            signal.raise_signal(signal.SIGINT)

    recipe = ClipRecipe(shots=100, held_out_shots=1)
    try:
        with pytest.raises(KeyboardInterrupt):
            draw_shards(tmp_path, recipe, 2, interrupt)
        until = time.monotonic() + PATIENCE
        while any(worker.is_alive() for worker in at_work) and time.monotonic() < until:
            time.sleep(0.05)
        assert [worker.exitcode for worker in at_work] == [-signal.SIGTERM, -signal.SIGTERM]
    finally:
        for worker in at_work:
            worker.kill()
    assert [path.name for path in tmp_path.glob("000?.json")] == ["0000.json"]


def test_clips_of_another_recipe_are_refused(small_recipe: Recipe, small_clips: Path) -> None:
    with pytest.raises(VadprobeError, match=r"compressed must be 1\.0, got 0\.35"):
        draw_shards(small_clips, replace(small_recipe.clips, compressed=1.0), 1)
