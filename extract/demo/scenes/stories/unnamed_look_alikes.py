"""Stories of harmless happenings that the captioner was never shown, so that novelty alone is no sign of an anomaly."""

import numpy as np

from vadprobe.extract.demo.scenes.figures import STRIDE, WALK, Pose, person
from vadprobe.extract.demo.scenes.roles import COLOURS
from vadprobe.extract.demo.scenes.shot import Shot
from vadprobe.extract.demo.scenes.sprites import Track
from vadprobe.extract.demo.scenes.stories.paths import choose_clothes, size_at, to_and_fro, track, walk_poses
from vadprobe.extract.demo.scenes.things import broom, pram
from vadprobe.extract.demo.scenes.things import umbrella as open_umbrella

_SWEEPS = 8


def umbrella(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody walk by under an open umbrella."""
    walking, pose, x, y, size, _ = _walk(rng, shot, start, stop)
    colour = np.array(COLOURS[str(rng.choice(tuple(COLOURS)))], dtype=float)
    above = [open_umbrella(size, colour)]
    return [walking, track(above, np.where(pose >= 0, 0, -1), x, y - 0.5 * size, "umbrella")]


def pram_pushed(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody push a pram along the walkway."""
    walking, pose, x, y, size, forward = _walk(rng, shot, start, stop)
    colour = np.array(COLOURS[str(rng.choice(tuple(COLOURS)))], dtype=float)
    sprites = [pram(size, colour, left) for left in (False, True)]
    ahead = np.where(forward, 0.42, -0.42) * size
    return [walking, track(sprites, np.where(pose >= 0, ~forward, -1), x + ahead, y + 1, "pram")]


def broom_sweeping(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody sweep the ground at one place."""
    frames, place, y = np.arange(shot.n_frames), rng.uniform(60, 260), int(rng.integers(176, 230))
    size, clothes, mirrored = size_at(y), choose_clothes(rng), bool(rng.integers(2))
    shown = (frames >= start) & (frames < stop)
    beat = (frames * rng.uniform(5, 8) / shot.fps).astype(int) % _SWEEPS
    people = [person(size, clothes, Pose(0.4, 0.5, lean, 0.15), mirrored) for lean in (0.1, 0.2)]
    brooms = [broom(size, 2 * np.pi * part / _SWEEPS) for part in range(_SWEEPS)]
    x = place + 0.0 * frames
    return [
        track(people, np.where(shown, beat % 2, -1), x, y, "sweeper"),
        track(brooms, np.where(shown, beat, -1), x + (-0.3 if mirrored else 0.3) * size, y + 1, "sweeper"),
    ]


def _walk(
    rng: np.random.Generator, shot: Shot, start: int, stop: int
) -> tuple[Track, np.ndarray, np.ndarray, int, float, np.ndarray]:
    """Let somebody walk to and fro; return the track, its poses, x, y, the size, and where it moves to the right."""
    frames, y = np.arange(shot.n_frames), int(rng.integers(188, 234))
    size, clothes = size_at(y), choose_clothes(rng)
    x, forward = to_and_fro(frames, start, stop, rng.uniform(36, 50) / shot.fps, 45, bool(rng.integers(2)))
    poses = walk_poses(np.cumsum(np.abs(np.diff(x, prepend=x[0]))), size) + STRIDE * ~forward
    pose = np.where((frames >= start) & (frames < stop), poses, -1)
    sprites = [person(size, clothes, one, left) for left in (False, True) for one in WALK]
    return track(sprites, pose, x, y, "walker"), pose, x, y, size, forward
