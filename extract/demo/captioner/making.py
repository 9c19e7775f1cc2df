"""The demo backbone from nothing: clips are drawn, a captioner is trained on them, its checkpoint is written."""

import hashlib
import os
import shutil
from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from vadprobe.extract.demo.captioner.recipe import FRAME_SIZE, VERSION, Recipe, first_difference
from vadprobe.extract.demo.captioner.shards import draw_shards
from vadprobe.extract.demo.captioner.training.architecture import write_half
from vadprobe.extract.demo.captioner.training.loop import StepReport, train
from vadprobe.extract.demo.captioner.training.trainer import Trainer
from vadprobe.extract.demo.scenes.shot import NAMED_KINDS
from vadprobe.extract.model.checkpoint.card import BACKBONE_CARD
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json, write_json
from vadprobe.store.format.specification import DEMO_CAPTIONER
from vadprobe.store.progress import Progress

NOTE = "pre-trained on drawings of the same kind; says nothing about any real camera"
LOSSES = ("caption", "first_token", "words", "words_auc")
"""Values of the card, from held-out clips: two cross-entropies per token, the loss of single words, and their AUC."""


def shipped_captioner() -> AbstractContextManager[Path]:
    """Return a context with the checkpoint folder of the captioner that is shipped with the package."""
    return as_file(files("vadprobe.extract.demo.captioner") / "shipped")


def make_captioner(
    out: Path,
    work: Path,
    recipe: Recipe,
    *,
    workers: int = 2,
    drawing: Progress | None = None,
    training: StepReport | None = None,
) -> dict[str, Any]:
    """Make a captioner in `out`: continue an unfinished run, leave a finished one as it is.

    Args:
        out: folder to make, a checkpoint in float16 with its card.
        work: folder of clips and training states, outside `out`; recipes that differ only in their seeds share the
            clips.
        recipe: what to draw and how to train.
        workers: number of processes that draw; with more than one, two processes train.
        drawing: called with the number of shards that are drawn, and of all.
        training: called with steps and losses.

    Returns:
        The card.

    Raises:
        VadprobeError: if `out` or `work` holds something of another recipe, or one of them is or contains the other.
    """
    _check_apart(out, work)
    card = _finished(out, recipe)
    if card is not None:
        return card
    draw_shards(work / "clips", recipe.clips, workers, drawing)
    trainer = train(work / f"seed-{recipe.seed}", recipe, work / "clips", workers=workers, report=training)
    return _write(out, trainer)


def _check_apart(out: Path, work: Path) -> None:
    """Refuse folders of which one is or contains the other: the finished checkpoint could not be moved to `out`."""
    folders = out.resolve(), work.resolve()
    if folders[0].is_relative_to(folders[1]) or folders[1].is_relative_to(folders[0]):
        raise VadprobeError(
            f"OUT and --work must be two folders, neither of them inside the other, got {out} and {work}. "
            "Name another folder for --work."
        )


def _finished(out: Path, recipe: Recipe) -> dict[str, Any] | None:
    """Return the card of a finished checkpoint of this recipe, or None where nothing is."""
    if (out / BACKBONE_CARD).exists():
        card: dict[str, Any] = read_json(out / BACKBONE_CARD)
        different = first_difference(recipe.as_json(), card.get("recipe", {}))
        if different:
            raise VadprobeError(f"{out} holds a backbone of another recipe: {different}. Use another folder.")
        return card
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise VadprobeError(f"{out} must be an empty folder or not exist, got one with other content.")
    return None


def _write(out: Path, trainer: Trainer) -> dict[str, Any]:
    """Write the checkpoint beside `out`, then rename it."""
    part = out.with_name(f"{out.name}.{os.getpid()}.partial")
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed and had this process number
    part.mkdir(parents=True)
    try:
        write_half(part, trainer.model, trainer.tiny)
        weights = hashlib.sha256((part / "model.safetensors").read_bytes()).hexdigest()
        card = {
            "kind": DEMO_CAPTIONER,
            "note": NOTE,
            "version": VERSION,
            "recipe": trainer.recipe.as_json(),
            "seed": trainer.recipe.seed,
            "steps": trainer.step,
            "losses": {name: round(trainer.log[-1][name], 5) for name in LOSSES},
            "weights_sha256": weights,
            "named": list(NAMED_KINDS),
            "frame_size": list(FRAME_SIZE),
        }
        write_json(part / BACKBONE_CARD, card)
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return card
