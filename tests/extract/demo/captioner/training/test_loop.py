"""The loop over steps: the same steps however it was interrupted and in however many processes, and a falling loss."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch

from vadprobe.extract.demo.captioner.clips import TrainingClip
from vadprobe.extract.demo.captioner.recipe import Recipe
from vadprobe.extract.demo.captioner.shards import Clips
from vadprobe.extract.demo.captioner.training.loop import LOG, STATE, train, training_clips
from vadprobe.extract.demo.captioner.training.schedule import HALVES, Schedule
from vadprobe.extract.demo.captioner.training.trainer import Trainer
from vadprobe.store.errors import VadprobeError


@pytest.mark.slow
def test_one_process_and_two_take_the_same_steps(
    tmp_path: Path, small_recipe: Recipe, small_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the tests compare with does not load in a process that has not declared its operators.
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not place.endswith("comparisons")])
    alone = train(tmp_path / "one", small_recipe, small_clips, workers=1)
    together = train(tmp_path / "two", small_recipe, small_clips, workers=2)
    for name in ("caption", "first_token", "words"):
        assert alone.log[-1][name] == pytest.approx(together.log[-1][name], rel=1e-4)
    assert not torch.distributed.is_initialized()
    assert [json.loads(line) for line in (tmp_path / "one" / LOG).read_text().splitlines()] == alone.log


def test_a_training_that_was_interrupted_goes_on_as_if_it_had_not_been(
    tmp_path: Path, small_recipe: Recipe, small_clips: Path
) -> None:
    schedule = Schedule(small_recipe, training_clips(small_recipe, small_clips))
    whole, begun = Trainer(small_recipe), Trainer(small_recipe)
    losses = [whole.take_step(schedule) for _ in range(3)]
    assert begun.take_step(schedule) == pytest.approx(losses[0], rel=1e-5)
    begun.take_step(schedule)
    begun.save(tmp_path / STATE)
    later = Trainer(small_recipe)
    later.load(tmp_path / STATE)
    assert later.step == 2
    assert later.take_step(schedule) == pytest.approx(losses[2], rel=1e-4)
    for mine, other in zip(later.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_second_process_that_dies_leaves_a_training_that_goes_on(
    tmp_path: Path, small_recipe: Recipe, small_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not place.endswith("comparisons")])
    before = set(active_children())

    def kill(*_: object) -> None:
        for process in set(active_children()) - before:
            process.kill()

    with pytest.raises(VadprobeError, match=r"ended with exit code -9.* the same command continues"):
        train(tmp_path, small_recipe, small_clips, workers=2, report=kill)
    assert not torch.distributed.is_initialized()
    assert train(tmp_path, small_recipe, small_clips, workers=1).step == small_recipe.training.steps


def test_a_state_of_another_recipe_or_a_damaged_one_is_refused(
    tmp_path: Path, small_recipe: Recipe, longer_recipe: Recipe
) -> None:
    trainer = Trainer(small_recipe)
    trainer.save(tmp_path / STATE)
    with pytest.raises(VadprobeError, match=r"caption_steps must be 17, got 2"):
        Trainer(longer_recipe).load(tmp_path / STATE)
    (tmp_path / STATE).write_bytes((tmp_path / STATE).read_bytes()[:-100])
    with pytest.raises(VadprobeError, match="remove it to start the training again"):
        trainer.load(tmp_path / STATE)


@pytest.mark.slow
def test_the_loss_falls(tmp_path: Path, longer_recipe: Recipe, small_clips: Path) -> None:
    losses: list[float] = []

    def report(done: int, total: int, shown: Mapping[str, float]) -> None:
        assert done == len(losses) + 1
        assert total == 20
        losses.append(shown["loss"])

    trainer = train(tmp_path, longer_recipe, small_clips, workers=1, report=report)
    assert losses[3] > 6  # the logarithm of a thousand words is 6.9
    assert trainer.log[-1]["caption"] < 5.5
    assert train(tmp_path, longer_recipe, small_clips, workers=1).log == trainer.log


@pytest.mark.parametrize(
    ("frames", "course"),
    [
        (8, {"vision_steps": 9, "caption_steps": 0}),  # slices are cut out of clips of 8
        (8, {"vision_steps": 0, "caption_steps": 9, "share_of_16": 0.0}),
        (16, {"vision_steps": 0, "caption_steps": 12, "share_of_16": 1.0}),
    ],
)
def test_both_halves_show_every_clip_once_before_any_is_shown_again(
    frames: int,
    course: dict[str, Any],
    small_recipe: Recipe,
    small_clips: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clips, asked = training_clips(small_recipe, small_clips), []
    clip_of = clips.clip

    def record(count: int, index: int) -> TrainingClip:
        asked.append((count, index))
        return clip_of(count, index)

    monkeypatch.setattr(clips, "clip", record)
    recipe = replace(small_recipe, training=replace(small_recipe.training, **course))
    schedule = Schedule(recipe, clips)
    for step in range(recipe.training.steps):
        halves = [schedule.clips(step, half) for half in range(HALVES)]
        assert len(halves[0]) == len(halves[1]) > 0
    size = clips.size(frames)
    assert len(asked) == 2 * size
    first, second = asked[:size], asked[size:]
    assert sorted(first) == sorted(second) == [(frames, index) for index in range(size)]
    assert first != second


def test_the_rate_warms_up_and_comes_down_to_a_part(longer_recipe: Recipe, small_clips: Path) -> None:
    schedule = Schedule(longer_recipe, Clips(small_clips, range(1, 3)))
    rates = [schedule.rate(step) for step in range(longer_recipe.training.steps)]
    assert rates[0] == pytest.approx(0.2, rel=0.01)
    assert rates[4:11] == [1.0] * 7
    assert rates[-1] == pytest.approx(0.02 + 0.98 / 10)
