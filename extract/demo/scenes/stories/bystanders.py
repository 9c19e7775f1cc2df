"""Stories of harmless happenings that resemble anomalies unknown to the captioner: people who stay, a dog."""

import numpy as np

from vadprobe.extract.demo.scenes.figures import STRIDE, WALK, Pose, person, sitting
from vadprobe.extract.demo.scenes.shot import Shot
from vadprobe.extract.demo.scenes.sprites import Track
from vadprobe.extract.demo.scenes.stories.later_anomalies import CLIMBING
from vadprobe.extract.demo.scenes.stories.paths import choose_clothes, size_at, to_and_fro, track, walk_poses
from vadprobe.extract.demo.scenes.things import bench, dog, ladder

_VEST = np.array([235.0, 120.0, 30.0])


def sitting_down(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody sit on a bench."""
    frames, place, y = np.arange(shot.n_frames), rng.uniform(60, 260), int(rng.integers(176, 212))
    size, shown = size_at(y), (frames >= start) & (frames < stop)
    seat = track([bench(1.1 * size)], np.zeros(shot.n_frames, int), place + 0.0 * frames, y - 1, "bench")
    sprites = [sitting(size, choose_clothes(rng), bool(rng.integers(2)))]
    return [seat, track(sprites, np.where(shown, 0, -1), place + 0.0 * frames, y, "sitter")]


def leashed_dog(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody walk a dog on a leash."""
    frames, y = np.arange(shot.n_frames), int(rng.integers(190, 234))
    size, clothes = size_at(y), choose_clothes(rng)
    length, coat = 0.6 * size, rng.choice([(150, 105, 60), (60, 50, 45), (205, 190, 165)]).astype(float)
    x, forward = to_and_fro(frames, start, stop, rng.uniform(36, 50) / shot.fps, 60, bool(rng.integers(2)))
    shown = (frames >= start) & (frames < stop)
    turn = walk_poses(np.cumsum(np.abs(np.diff(x, prepend=x[0]))), size) + STRIDE * ~forward
    walking = [person(size, clothes, pose, left) for left in (False, True) for pose in WALK]
    dogs = [dog(length, coat, pose.turn, left, 0.45 * size) for left in (False, True) for pose in WALK]
    ahead = np.where(forward, 0.5, -0.5) * size
    pose = np.where(shown, turn, -1)
    return [track(walking, pose, x, y, "dog_walker"), track(dogs, pose, x + ahead, y, "leashed_dog")]


def waiting(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody stand at one place and look at a telephone."""
    frames, place, y = np.arange(shot.n_frames), rng.uniform(60, 260), int(rng.integers(172, 230))
    size, clothes, mirrored = size_at(y), choose_clothes(rng), bool(rng.integers(2))
    sprites = [person(size, clothes, Pose(0.3, 0.12, 0.0, raised), mirrored) for raised in (0.4, 0.5, 0.45)]
    pose = np.where((frames >= start) & (frames < stop), (frames // shot.fps) % 3, -1)
    return [track(sprites, pose, place + 0.0 * frames, y, "waiter")]


def ladder_work(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody in a bright vest work on a ladder."""
    frames, place, y = np.arange(shot.n_frames), rng.uniform(60, 260), int(rng.integers(164, 172))
    size, shown = size_at(y), (frames >= start) & (frames < stop)
    clothes = np.stack([_VEST, choose_clothes(rng)[1]])
    up = 34 + 14 * np.sin((frames - start) / shot.fps * rng.uniform(0.3, 0.6))
    sprites = [person(size, clothes, pose, False) for pose in CLIMBING]
    pose = np.where(shown, walk_poses(2 * up, size), -1)
    rungs = track([ladder(1.9 * size)], np.where(shown, 0, -1), place + 0.0 * frames, y + 2, "ladder")
    return [rungs, track(sprites, pose, place + 0.0 * frames, y - up, "worker")]
