"""The loop over steps, in one process or in two that share each step."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from vadprobe.extract.demo.captioner.clips import FRAME_COUNTS
from vadprobe.extract.demo.captioner.recipe import Recipe
from vadprobe.extract.demo.captioner.shards import Clips
from vadprobe.extract.demo.captioner.training.batches import Batch
from vadprobe.extract.demo.captioner.training.objective import held_out_losses
from vadprobe.extract.demo.captioner.training.processes import add_over_processes, one_thread, second_process
from vadprobe.extract.demo.captioner.training.schedule import HALVES, Schedule
from vadprobe.extract.demo.captioner.training.trainer import Trainer
from vadprobe.store.files.atomic_files import write_bytes

StepReport = Callable[[int, int, Mapping[str, float]], None]
"""Called with the steps taken, the number of all steps, and the running loss; also held-out losses when measured."""

STATE = "state.pt"
LOG = "log.jsonl"
_SAVE_EVERY = 25  # steps
_HELD_OUT_BATCH = 32  # clips
_MEMORY = 0.95  # of the running loss


def train(
    folder: Path, recipe: Recipe, clips_folder: Path, *, workers: int = 2, report: StepReport | None = None
) -> Trainer:
    """Train a captioner, or go on with its training.

    The state is written to `folder` every few steps, and the losses on held-out clips to `log.jsonl` there.
    Each process computes with one thread.

    Args:
        folder: folder of this training alone.
        recipe: what to train.
        clips_folder: folder of drawn clips.
        workers: with more than 1, two processes share each step; the steps are the same.
        report: called after each step.

    Returns:
        The trained captioner.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(recipe)
    trainer.load(folder / STATE)
    alone = workers == 1 or trainer.step == recipe.training.steps
    halves = range(HALVES) if alone else range(1)
    other = nullcontext() if alone else second_process(_help, folder, recipe, clips_folder)
    with one_thread(), other:
        _take_steps(trainer, folder, clips_folder, halves, report)
    return trainer


def _help(folder: Path, recipe: Recipe, clips_folder: Path) -> None:
    """Compute the second half of every remaining step."""
    trainer = Trainer(recipe)
    trainer.load(folder / STATE)
    schedule = Schedule(recipe, training_clips(recipe, clips_folder))
    while trainer.step < recipe.training.steps:
        trainer.take_step(schedule, range(1, HALVES), add_over_processes)


def _take_steps(trainer: Trainer, folder: Path, clips_folder: Path, halves: range, report: StepReport | None) -> None:
    """Take the steps that remain; evaluate, save and report between them."""
    recipe, training = trainer.recipe, trainer.recipe.training
    schedule = Schedule(recipe, training_clips(recipe, clips_folder))
    held_out = Clips(clips_folder, range(recipe.clips.n_held_out))
    add = add_over_processes if len(halves) < HALVES else None
    running: float | None = None
    while trainer.step < training.steps:
        if trainer.step == training.vision_steps:
            running = None  # another loss begins
        loss = trainer.take_step(schedule, halves, add)
        running = loss if running is None else _MEMORY * running + (1 - _MEMORY) * loss
        shown = {"loss": running}
        if trainer.step % training.evaluate_every == 0 or trainer.step == training.steps:
            shown |= held_out_losses(trainer.model, trainer.reader, held_out_batches(trainer, held_out))
            trainer.log.append({"step": trainer.step, **shown})
            write_bytes(folder / LOG, "".join(json.dumps(line) + "\n" for line in trainer.log).encode())
        if trainer.step % _SAVE_EVERY == 0 or trainer.step == training.steps:
            trainer.save(folder / STATE)
        if report:
            report(trainer.step, training.steps, shown)


def training_clips(recipe: Recipe, folder: Path) -> Clips:
    """Return the clips of all shards that are not held out."""
    return Clips(folder, range(recipe.clips.n_held_out, recipe.clips.n_shards))


def held_out_batches(trainer: Trainer, clips: Clips) -> Iterator[Batch]:
    """Yield every held-out clip once, under a shipped prompt, with wordings that are the same for every seed."""
    rng = np.random.default_rng(trainer.recipe.clips.namespace)
    for count in FRAME_COUNTS:
        for first in range(0, clips.size(count), _HELD_OUT_BATCH):
            places = range(first, min(first + _HELD_OUT_BATCH, clips.size(count)))
            chosen = [clips.clip(count, place) for place in places]
            yield trainer.packer.pack(chosen, rng, 1, "shipped", augment=False)
