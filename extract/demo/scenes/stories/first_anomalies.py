"""Stories of the five anomalies that both versions of the world have; `scale` is 1 in the first."""

from dataclasses import replace

import numpy as np

from vadprobe.extract.demo.scenes.figures import GREY, RUN, STRIDE, WALK, Pose, person, puff, suitcase, vehicle
from vadprobe.extract.demo.scenes.roles import COLOURS
from vadprobe.extract.demo.scenes.shot import Shot
from vadprobe.extract.demo.scenes.sprites import WIDTH, Track
from vadprobe.extract.demo.scenes.stories.paths import choose_clothes, only_while, size_at, track, walk_poses

VANS = ("white", "red", "yellow", "blue")
_CASES = {"red": (205, 40, 40), "orange": (230, 120, 30), "yellow": (225, 190, 40)}


def panic(rng: np.random.Generator, shot: Shot, start: int, stop: int, scale: float = 1.0) -> list[Track]:
    """Let a crowd run through the picture, in at one side and out at the other."""
    frames, mirrored = np.arange(shot.n_frames), bool(rng.integers(2))
    speeds = rng.uniform(230, 330, size=int(scale * (3 * (stop - start) // shot.fps + 4)))
    crossing = (WIDTH + 90) / speeds * shot.fps
    entries = start + np.linspace(0, 1, len(speeds)) * np.maximum(stop - start - crossing, 0)
    tracks = []
    for speed, entry in zip(speeds, entries, strict=True):
        y = int(rng.integers(180, 238))
        size, clothes = size_at(y) * 1.15, choose_clothes(rng)
        travelled = np.maximum(frames - entry, 0) * speed / shot.fps
        x = WIDTH + 35 - travelled if mirrored else travelled - 35
        pose = np.where((frames >= entry) & (frames < stop), walk_poses(travelled / 2.5, size), -1)
        tracks.append(track([person(size, clothes, pose, mirrored) for pose in RUN], pose, x, y, "runner"))
    return tracks


def blast_frames(shot: Shot, start: int, stop: int) -> range:
    """Return the frames of blasts: the first one, and every three seconds as long as it burns."""
    return range(start, max(stop - shot.fps, start + 1), 3 * shot.fps)


def explosion(rng: np.random.Generator, shot: Shot, start: int, stop: int, scale: float = 1.0) -> list[Track]:
    """Light a fire, with a ball of flame at each blast and smoke that grows, rises and thins out before `stop`."""
    frames, centre = np.arange(shot.n_frames), rng.uniform((90, 165), (230, 205))
    inside = (frames >= start) & (frames < stop)
    since = np.min([np.where(frames >= at, frames - at, shot.n_frames) for at in blast_frames(shot, start, stop)], 0)
    flames = [puff(scale * radius, np.array([255.0, 150.0, 40.0]), 0.95) for radius in (22, 28, 34, 60, 85)]
    burning = np.where(since < 0.4 * shot.fps, 3 + (since < 0.2 * shot.fps), rng.integers(3, size=shot.n_frames))
    tracks = [track(flames, np.where(inside, burning, -1), centre[0] + 0.0 * frames, centre[1] + 25 * scale, "fire")]
    for _ in range(8):
        grey, drift = rng.uniform(85, 175) * GREY, rng.uniform((-90, 10), (90, 110))
        clouds = [puff(scale * (40 + 8 * step), grey, 0.9) for step in range(10)]
        clouds += [puff(scale * 112, grey, opacity) for opacity in (0.6, 0.4, 0.25)]
        born = start + int(rng.integers(max((stop - start) // 8, 1)))
        age = np.clip((frames - born) / max(stop - born, 1), 0.0, 1.0)
        pose = np.where(age < 0.85, 10 * np.sqrt(age / 0.85), 10 + (age - 0.85) / 0.05).astype(int)
        pose = np.where(inside & (frames >= born), np.minimum(pose, len(clouds) - 1), -1)
        path = centre[:, np.newaxis] + scale * np.sqrt(age) * (drift * (1, -1))[:, np.newaxis]
        tracks.append(track(clouds, pose, path[0], path[1] + 75 * scale, "smoke"))
    return tracks


def vehicle_on_walkway(rng: np.random.Generator, shot: Shot, start: int, stop: int, scale: float = 1.0) -> list[Track]:
    """Let a van drive onto the walkway, to and fro as long as there is time, and off again."""
    frames, length = np.arange(shot.n_frames), scale * rng.uniform(150, 185)
    passes = max(1, round((stop - start) / (3.5 * shot.fps)))
    turns = [-0.45 * length, *([WIDTH - 0.3 * length, 0.3 * length] * passes)[: passes - 1]]
    turns.append(WIDTH + 0.45 * length if passes % 2 else -0.45 * length)
    x = np.interp(frames, np.linspace(start, stop - 1, len(turns)), turns)
    mirrored = bool(rng.integers(2))
    name = str(rng.choice(VANS))
    colour = np.array(COLOURS[name], dtype=float)
    pose = np.where((frames >= start) & (frames < stop), 0, -1)
    van = vehicle(length, colour, mirrored, True)
    return [track([van], pose, WIDTH - x if mirrored else x, int(rng.integers(206, 234)), "van", name)]


def fighting(rng: np.random.Generator, shot: Shot, start: int, stop: int, scale: float = 1.0) -> list[Track]:
    """Let two people walk up to each other, hit about them in `[start, stop)`, and part."""
    frames, meeting, y = np.arange(shot.n_frames), rng.uniform(90, 230), int(rng.integers(215, 236))
    size, inside = scale * size_at(y) * 1.25, (frames >= start) & (frames < stop)
    away = np.maximum(start - frames, frames - stop + 1).clip(0) * rng.uniform(40, 55) / shot.fps
    tracks = []
    for side in (-1, 1):
        clothes = choose_clothes(rng)
        shove = rng.uniform((-16, -7), (16, 7), size=(shot.n_frames, 2)) * inside[:, np.newaxis]
        facing = [person(size, clothes, pose, side > 0) for pose in WALK]
        leaving = [person(size, clothes, pose, side < 0) for pose in WALK]
        blows = rng.uniform((0, 0.9, -0.4, 0.2), (6, 1.5, 0.7, 1.2), size=(12, 4))
        hitting = [person(size, clothes, Pose(*blow), side > 0) for blow in blows.tolist()]
        pose = walk_poses(away, size) + np.where(frames < start, 0, STRIDE)
        pose = np.where(inside, 2 * STRIDE + rng.integers(len(blows), size=shot.n_frames), pose)
        x = meeting + side * (away + 0.16 * size) + shove[:, 0]
        everything = track(facing + leaving + hitting, pose, x, y + shove[:, 1], "walker")
        tracks += [only_while(everything, ~inside), replace(only_while(everything, inside), role="fighter")]
    return tracks


def abandoned_object(rng: np.random.Generator, shot: Shot, start: int, stop: int, scale: float = 1.0) -> list[Track]:
    """Leave a large case standing in `[start, stop)`: its owner walks on, and somebody takes it away in the end."""
    frames, place, y = np.arange(shot.n_frames), rng.uniform(70, 250), int(rng.integers(205, 236))
    name = str(rng.choice(tuple(_CASES)))
    colour = np.array(_CASES[name], dtype=float)
    inside = (frames >= start) & (frames < stop)
    case = [suitcase(scale * rng.uniform(52, 64), colour)]
    tracks = [track(case, np.where(inside, 0, -1), place + 0.0 * frames, y, "case", name)]
    for hand_over, carries in ((start, frames < start), (stop, frames >= stop)):
        mirrored, clothes, size = bool(rng.integers(2)), choose_clothes(rng), size_at(y - 2)
        travelled = (frames - hand_over) * rng.uniform(38, 52) / shot.fps
        sprites = [person(size, clothes, pose, mirrored, load) for load in (None, colour) for pose in WALK]
        x = place + travelled * (-1 if mirrored else 1)
        way = track(sprites, walk_poses(np.abs(travelled), size) + STRIDE * carries, x, y - 2, "walker")
        carrying = replace(only_while(way, carries), role="carrier", colour=name)
        tracks += [only_while(way, ~carries), carrying]
    return tracks
