"""Scripts of the generated surveillance sets: their videos, the camera of each, and what each shows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vadprobe.extract.demo.scenes.direction import RATES, write_shot
from vadprobe.extract.demo.scenes.shot import (
    KINDS,
    NAMED_KINDS,
    NAMED_LOOK_ALIKES,
    PLACES,
    UNNAMED_KINDS,
    UNNAMED_LOOK_ALIKES,
    Shot,
)
from vadprobe.store.datasets.video import Split
from vadprobe.store.errors import VadprobeError

VERSION = 2
"""Newest version of the world. Version 1 has five kinds of anomalies, good light, and nothing that resembles them."""

SECONDS = {1: (8.0, 40.0), 2: (6.0, 14.0)}
"""Shortest and longest video by version."""

_SPLITS: tuple[Split, ...] = ("train", "train", "validation", "test")  # of four cameras in turn
_VIDEOS_PER_CAMERA = 4  # two normal, two anomalous


@dataclass(frozen=True)
class Script:
    """One video to make: its name, split, shot and seed. With `truncated` the end of the file is cut off."""

    video_id: str
    split: Split
    shot: Shot
    seed: tuple[int, ...]
    truncated: bool = False


def write_scripts(
    seed: int, n_videos: int, seconds: tuple[float, float] | None = None, version: int = VERSION
) -> tuple[Script, ...]:
    """Write the script of every video.

    Half of each camera's videos are anomalous. Videos come in pairs of equal length, one of each class, and anomalies
    are placed uniformly, so that neither a video's length nor a frame's place in it predicts much. One more video, of
    the first training camera, is marked to be truncated.

    Args:
        seed: the same seed gives the same scripts.
        n_videos: a multiple of 16, so that every split has whole cameras.
        seconds: shortest and longest video; by default those of `SECONDS`.
        version: of the world: 2 has ten kinds of anomalies and sixteen kinds of harmless look-alikes, dusk, rain,
            faint and partly hidden figures, cameras that shake, and four frame rates.

    Raises:
        VadprobeError: if `n_videos` is not a positive multiple of 16, or the version is not known.
    """
    if n_videos < 16 or n_videos % 16:
        raise VadprobeError(
            f"n_videos must be a positive multiple of 16 (four cameras, four videos each), got {n_videos}."
        )
    if version not in SECONDS:
        raise VadprobeError(f"version must be one of {', '.join(map(str, SECONDS))}, got {version}.")
    seconds = seconds or SECONDS[version]
    rng = np.random.default_rng([version, seed])
    write = _first_version if version == 1 else _second_version
    scripts: list[Script] = []
    for camera in range(n_videos // _VIDEOS_PER_CAMERA):
        split = _SPLITS[camera % len(_SPLITS)]
        # Places are dealt out within a split, so that each split has seen several.
        place = PLACES[(camera // len(_SPLITS) + camera) % len(PLACES)]
        kinds = _kinds_of(version, seed, split, camera)
        for number, shot in enumerate(write(rng, place, kinds, seconds)):
            video_id = f"{shot.kind or 'Normal'}_{camera:02d}_{number}"
            scripts.append(Script(video_id, split, shot, (version, seed, camera, number)))
    shot = Shot(scripts[0].shot.place, int(seconds[0] * 25) + 101, 25)
    scripts.append(Script("truncated_00_4", "train", shot, (version, seed, 0, 4), truncated=True))
    return tuple(scripts)


def _kinds_of(version: int, seed: int, split: Split, camera: int) -> tuple[str, str]:
    """Return the kinds of a camera's two anomalous videos, dealt out within its split."""
    # Train has every other pair of cameras, the other splits every fourth camera.
    before = 2 * (2 * (camera // 4) + camera % 4 if split == "train" else camera // 4)
    if version == 1:
        return KINDS[before % len(KINDS)], KINDS[(before + 1) % len(KINDS)]
    deck = (*NAMED_KINDS, *UNNAMED_KINDS)
    rounds = [
        np.random.default_rng([version, seed, 7, place // len(deck)]).permutation(len(deck))
        for place in (before, before + 1)
    ]
    first, second = (deck[int(one[place % len(deck)])] for one, place in zip(rounds, (before, before + 1), strict=True))
    return first, second


def _first_version(
    rng: np.random.Generator, place: str, kinds: tuple[str, str], seconds: tuple[float, float]
) -> Iterator[Shot]:
    for kind in kinds:
        fps = int(rng.choice([25, 30]))
        n_frames = int(rng.uniform(*seconds) * fps)
        yield Shot(place, n_frames, fps)
        yield Shot(place, n_frames, fps, kind, _place_intervals(n_frames, fps, rng))


def _second_version(
    rng: np.random.Generator, place: str, kinds: tuple[str, str], seconds: tuple[float, float]
) -> Iterator[Shot]:
    look_alikes = (*NAMED_LOOK_ALIKES, *UNNAMED_LOOK_ALIKES)
    for kind in kinds:
        fps = int(rng.choice(RATES))
        n_frames = int(rng.uniform(*seconds) * fps)
        for one in (None, kind):
            yield write_shot(
                rng, place=place, n_frames=n_frames, fps=fps, kind=one, look_alikes=look_alikes, mixed=True
            )


def _place_intervals(n_frames: int, fps: int, rng: np.random.Generator) -> tuple[tuple[int, int], ...]:
    """Choose one to three intervals of 2 to 6 seconds, apart from each other, at uniform places."""
    count = int(rng.integers(1, 4))
    room = n_frames // count
    lengths = [min(int(rng.uniform(2.0, 6.0) * fps), room // 2) for _ in range(count)]
    starts = [index * room + int(rng.integers(0, room - length)) for index, length in enumerate(lengths)]
    return tuple((start, start + length) for start, length in zip(starts, lengths, strict=True))
