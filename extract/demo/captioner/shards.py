"""Shards of clips on disk: drawn side by side, written so that a shard is whole or absent, read by memory map."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vadprobe.extract.demo.captioner.clips import FRAME_COUNTS, TrainingClip, draw_clips, stacked
from vadprobe.extract.demo.captioner.facts import Facts
from vadprobe.extract.demo.captioner.recipe import ClipRecipe, first_difference
from vadprobe.extract.demo.side_by_side import run_side_by_side
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json, write_bytes, write_json
from vadprobe.store.progress import Progress

CARD = "clips.json"


class Clips:
    """Clips of several shards by their number of frames."""

    def __init__(self, folder: Path, shards: Sequence[int]) -> None:
        self._frames: dict[int, list[np.ndarray]] = {count: [] for count in FRAME_COUNTS}
        self._places: dict[int, list[np.ndarray]] = {count: [] for count in FRAME_COUNTS}
        self._told: dict[int, list[tuple[int, int, Facts, float]]] = {count: [] for count in FRAME_COUNTS}
        for place, shard in enumerate(shards):
            told = read_json(folder / f"{shard:04d}.json")
            for count in FRAME_COUNTS:
                self._frames[count].append(np.load(folder / f"{shard:04d}_{count}.npy", mmap_mode="r"))
                self._places[count].append(np.load(folder / f"{shard:04d}_{count}_places.npy"))
                self._told[count] += [
                    (place, row, Facts.from_json(one["facts"]), one["seconds"])
                    for row, one in enumerate(told[str(count)])
                ]

    def size(self, count: int) -> int:
        """Return the number of clips of `count` frames."""
        return len(self._told[count])

    def clip(self, count: int, index: int) -> TrainingClip:
        """Return one clip; its frames are read from the disk when they are used."""
        place, row, facts, seconds = self._told[count][index]
        return TrainingClip(self._frames[count][place][row], facts, self._places[count][place][row], seconds)


def draw_shards(folder: Path, recipe: ClipRecipe, workers: int, progress: Progress | None = None) -> None:
    """Draw the shards that are missing in `folder`.

    Raises:
        VadprobeError: if the folder holds clips of another recipe.
    """
    if (folder / CARD).exists():
        different = first_difference(recipe.as_json(), read_json(folder / CARD))
        if different:
            raise VadprobeError(f"{folder} holds clips of another recipe: {different}. Use another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CARD, recipe.as_json())
    missing = [shard for shard in range(recipe.n_shards) if not _told_path(folder, shard).exists()]
    if missing:
        jobs = [(folder, recipe, shard) for shard in missing]
        done = recipe.n_shards - len(missing)
        run_side_by_side(draw_shard, jobs, workers=workers, done=done, progress=progress, begin=_one_thread)


def _one_thread() -> None:
    torch.set_num_threads(1)


def draw_shard(folder: Path, recipe: ClipRecipe, shard: int) -> None:
    """Draw one shard; the file of its facts is written last and marks it as complete."""
    clips = [clip for number in range(recipe.shots_of(shard)) for clip in draw_clips(recipe, shard, number)]
    told = {}
    for count in FRAME_COUNTS:
        frames, chosen = stacked(clips, count)
        places = np.stack([clip.places for clip in chosen])
        for name, values in ((f"{shard:04d}_{count}", frames), (f"{shard:04d}_{count}_places", places)):
            buffer = io.BytesIO()
            np.save(buffer, values)
            write_bytes(folder / f"{name}.npy", buffer.getvalue())
        told[str(count)] = [{"facts": clip.facts.as_json(), "seconds": clip.seconds} for clip in chosen]
    write_json(_told_path(folder, shard), told)


def _told_path(folder: Path, shard: int) -> Path:
    return folder / f"{shard:04d}.json"
