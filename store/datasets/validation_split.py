"""The validation split: test videos held out so that no result is on videos that were used for tuning."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vadprobe.store.datasets.annotations.names import xd_violence_source
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import counted


def hold_out(dataset: Dataset, names: Sequence[str], fraction: float | None, seed: int) -> Dataset:
    """Return the dataset with some test videos moved to the split "validation".

    Either the named videos are moved, or a random draw that is stratified by label: `round(fraction * n)` of the n
    labelled test videos of each class, at least one. All clips of one source (XD-Violence: one film) are moved
    together, so a class may get a few more. The draw depends on seed, names and labels alone, not on their order.

    Raises:
        VadprobeError: if a name is not that of a labelled test video, nothing is left to report, or a class has fewer
            than two sources.
    """
    test = sorted((v for v in dataset.of_split("test") if v.label is not None), key=lambda video: video.video_id)
    if names:
        wrong = sorted(set(names) - {video.video_id for video in test})
        if wrong:
            raise VadprobeError(
                f"dataset.validation.videos names {wrong[0]!r} ({len(wrong)} such names), which is not a "
                f"labelled test video of {dataset.name!r}; name annotated test videos."
            )
        chosen = set(names)
    else:
        assert fraction is not None
        chosen = _draw(dataset.name, test, fraction, seed)
    left = {video.label for video in test if video.video_id not in chosen}
    if left != {video.label for video in test}:
        raise VadprobeError(
            f"the validation split of {dataset.name!r} takes all test videos of a class; leave some to report on."
        )
    videos = tuple(replace(v, split="validation") if v.video_id in chosen else v for v in dataset.videos)
    return replace(dataset, videos=videos, held_out=tuple(sorted(chosen)))


def held_out_notes(name: str, held_out: Sequence[str]) -> tuple[str, ...]:
    """Return the notes for results on a test split from which videos were held out; empty if none were."""
    if not held_out:
        return ()
    return (
        f"{counted(len(held_out), f'test video of {name} was', f'test videos of {name} were')} held out for the choice "
        "of a threshold or grid, and no number here counts them. Printed numbers are of the whole test split, "
        "so they cannot be compared with these.",
    )


def source_of(video_id: str) -> str:
    """Return the film that a clip was cut from, known by its name; the source of any other video is its own name."""
    return xd_violence_source(video_id) or video_id


def _draw(name: str, test: Sequence[Video], fraction: float, seed: int) -> set[str]:
    chosen: set[str] = set()
    for label in (0, 1):
        mine = [video for video in test if video.label == label]
        sources = sorted({source_of(video.video_id) for video in mine})
        if len(sources) < 2:
            raise VadprobeError(
                f"a validation split of {name!r} cannot be drawn: its test videos of label {label} have {len(sources)} "
                "sources, and must have two or more. Name the validation videos, or use a fixed locator."
            )
        wanted = max(round(fraction * len(mine)), 1)
        order = np.random.default_rng([seed, label]).permutation(len(sources))
        for position in order[:-1].tolist():
            if sum(video.video_id in chosen for video in mine) >= wanted:
                break
            chosen |= {v.video_id for v in test if source_of(v.video_id) == sources[position]}
    return chosen
