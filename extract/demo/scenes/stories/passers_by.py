"""Tracks of people who walk by and of cars on the road."""

import numpy as np

from vadprobe.extract.demo.scenes.figures import RUN, STRIDE, WALK, person, vehicle
from vadprobe.extract.demo.scenes.places import tint
from vadprobe.extract.demo.scenes.shot import Shot
from vadprobe.extract.demo.scenes.sprites import WIDTH, Track
from vadprobe.extract.demo.scenes.stories.paths import choose_clothes, size_at, track, walk_poses


def walker(rng: np.random.Generator, shot: Shot) -> Track:
    """Let somebody walk along the walkway, six times as fast during a panic."""
    y, mirrored = int(rng.integers(166, 232)), bool(rng.integers(2))
    size, clothes = size_at(y), choose_clothes(rng)
    load = tint(rng, 50, 110, 25) if rng.random() < 0.3 else None
    running = shot.truth & (shot.kind == "Panic")
    travelled = np.cumsum(rng.uniform(30, 50) / shot.fps * np.where(running, 6.0, 1.0))
    place = (rng.uniform(0, WIDTH + 80) + travelled * (-1 if mirrored else 1)) % (WIDTH + 80) - 40
    poses = WALK + RUN if running.any() else WALK
    pose = walk_poses(travelled / np.where(running, 3.0, 1.0), size) + STRIDE * running
    return track([person(size, clothes, pose, mirrored, load) for pose in poses], pose, place, y, "walker")


def road_car(rng: np.random.Generator, shot: Shot) -> Track:
    """Let a car drive slowly along the road behind the walkway, again and again."""
    mirrored, length, around = bool(rng.integers(2)), rng.uniform(58, 74), WIDTH + rng.uniform(300, 700)
    travelled = rng.uniform(0, around) + np.arange(shot.n_frames) * rng.uniform(35, 60) / shot.fps
    x = (-travelled if mirrored else travelled) % around - length
    sprite = vehicle(length, tint(rng, 60, 180, 40), mirrored, bool(rng.random() < 0.3))
    return track([sprite], np.zeros(shot.n_frames, int), x, 122 if mirrored else 143, "car")
