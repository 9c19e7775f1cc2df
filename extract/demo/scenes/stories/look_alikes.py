"""Stories of harmless happenings that resemble anomalies which the captioner can name."""

from dataclasses import replace

import numpy as np

from vadprobe.extract.demo.scenes.figures import GREY, RUN, STRIDE, WALK, Pose, person, puff, suitcase, vehicle
from vadprobe.extract.demo.scenes.roles import COLOURS
from vadprobe.extract.demo.scenes.shot import Shot
from vadprobe.extract.demo.scenes.sprites import WIDTH, Drawing, Sprite, Track
from vadprobe.extract.demo.scenes.stories.first_anomalies import VANS
from vadprobe.extract.demo.scenes.stories.later_anomalies import BICYCLES
from vadprobe.extract.demo.scenes.stories.paths import (
    choose_clothes,
    only_while,
    size_at,
    to_and_fro,
    track,
    walk_poses,
)
from vadprobe.extract.demo.scenes.things import bicycle_on

_BAGS = ("red", "orange", "yellow", "blue")


def jogging(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let one person run along the walkway at an even pace, again and again."""
    frames, y = np.arange(shot.n_frames), int(rng.integers(176, 236))
    size, clothes, speed = size_at(y) * rng.uniform(1.0, 1.15), choose_clothes(rng), rng.uniform(95, 150) / shot.fps
    x, forward = to_and_fro(frames, start, stop, speed, 35, bool(rng.integers(2)))
    sprites = [person(size, clothes, pose, left) for left in (False, True) for pose in RUN]
    pose = walk_poses(np.cumsum(np.abs(np.diff(x, prepend=x[0]))) / 2.2, size) + STRIDE * ~forward
    return [track(sprites, np.where((frames >= start) & (frames < stop), pose, -1), x, y, "jogger")]


def playing(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let two or three children run about one place."""
    frames, place, y = np.arange(shot.n_frames), rng.uniform(80, 240), int(rng.integers(196, 232))
    seconds, tracks = frames / shot.fps, []
    for _ in range(int(rng.integers(2, 4))):
        size, clothes = 0.58 * size_at(y), np.stack([rng.uniform(90, 235, 3), rng.uniform(40, 120, 3)])
        phase, rate, reach = rng.uniform(0, 2 * np.pi), rng.uniform(1.6, 2.6), rng.uniform(26, 46)
        x = place + reach * np.sin(rate * seconds + phase)
        down = y + 9 * np.cos(rate * seconds + phase)
        forward = np.gradient(x) >= 0
        sprites = [person(size, clothes, pose, left) for left in (False, True) for pose in RUN]
        pose = walk_poses(np.cumsum(np.abs(np.gradient(x))) / 1.6, size) + STRIDE * ~forward
        tracks.append(track(sprites, np.where((frames >= start) & (frames < stop), pose, -1), x, down, "child"))
    return tracks


def _meeting(
    rng: np.random.Generator, shot: Shot, start: int, stop: int, poses: tuple[Pose, ...], apart: float, role: str
) -> list[Track]:
    """Let two people walk up to each other, stand together in `poses` that follow smoothly, and part."""
    frames, place, y = np.arange(shot.n_frames), rng.uniform(90, 230), int(rng.integers(206, 236))
    size, inside = size_at(y) * rng.uniform(1.1, 1.25), (frames >= start) & (frames < stop)
    away = np.maximum(start - frames, frames - stop + 1).clip(0) * rng.uniform(40, 55) / shot.fps
    part = np.interp(np.sin((frames - start) / shot.fps * rng.uniform(3.0, 4.5)), [-1, 1], [0, len(poses) - 1])
    sway = apart * size * 0.25 * np.sin((frames - start) / shot.fps * 2.0) * inside * (role == "dancer")
    tracks = []
    for side in (-1, 1):
        clothes = choose_clothes(rng)
        facing = [person(size, clothes, pose, side > 0) for pose in WALK]
        leaving = [person(size, clothes, pose, side < 0) for pose in WALK]
        together = [person(size, clothes, pose, side > 0) for pose in poses]
        pose = walk_poses(away, size) + np.where(frames < start, 0, STRIDE)
        pose = np.where(inside, 2 * STRIDE + np.rint(part).astype(int), pose)
        way = track(facing + leaving + together, pose, place + side * (away + apart * size) + sway, y, "walker")
        tracks += [only_while(way, ~inside), replace(only_while(way, inside), role=role)]
    return tracks


def hugging(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let two people meet and hold each other."""
    poses = tuple(Pose(1.4, 0.25, lean, 0.75) for lean in (0.1, 0.16, 0.22))
    return _meeting(rng, shot, start, stop, poses, 0.08, "hugger")


def dancing(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let two people dance, hand in hand and in time."""
    poses = tuple(Pose(turn, 0.6, 0.0, 0.9) for turn in (0.0, 0.7, 1.4, 2.1, 2.8))
    return _meeting(rng, shot, start, stop, poses, 0.24, "dancer")


def delivery(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let a van come along the road, stop there, and drive on."""
    frames, length, name = np.arange(shot.n_frames), rng.uniform(80, 104), str(rng.choice(VANS))
    mirrored, place = bool(rng.integers(2)), rng.uniform(80, 240)
    way = 0.25 * (stop - start)
    x = np.interp(
        frames, [start, start + way, stop - way, stop - 1], [-0.5 * length, place, place, WIDTH + 0.5 * length]
    )
    van = vehicle(length, np.array(COLOURS[name], dtype=float), mirrored, True)
    pose = np.where((frames >= start) & (frames < stop), 0, -1)
    return [track([van], pose, WIDTH - x if mirrored else x, 145, "delivery", name)]


def bag_set_down(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody set a case down, stand beside it, and take it away again."""
    frames, place, y = np.arange(shot.n_frames), rng.uniform(90, 230), int(rng.integers(200, 234))
    name, mirrored = str(rng.choice(_BAGS)), bool(rng.integers(2))
    size, clothes, colour = size_at(y), choose_clothes(rng), np.array(COLOURS[name], dtype=float)
    inside = (frames >= start) & (frames < stop)
    moved = ((frames - stop + 1).clip(0) - (start - frames).clip(0)) * rng.uniform(38, 50) / shot.fps
    sprites = [person(size, clothes, pose, mirrored, colour) for pose in WALK]
    sprites += [person(size, clothes, Pose(turn, 0.15), mirrored) for turn in (0.0, 0.5)]
    standing = STRIDE + (frames // max(shot.fps, 1)) % 2
    side = -1 if mirrored else 1
    pose = np.where(inside, standing, walk_poses(np.abs(moved), size))
    way = track(sprites, pose, place + side * moved - 0.36 * size * side * inside, y - 2, "walker")
    case = track([suitcase(0.52 * size, colour)], np.where(inside, 0, -1), place + 0.0 * frames, y, "bag", name)
    carrier = replace(only_while(way, ~inside), role="carrier", colour=name)
    return [carrier, replace(only_while(way, inside), role="bag_owner"), case]


def case_carried(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody carry a case of a strong colour along the walkway."""
    frames, y, name = np.arange(shot.n_frames), int(rng.integers(190, 234)), str(rng.choice(_BAGS))
    size, clothes, colour = size_at(y), choose_clothes(rng), np.array(COLOURS[name], dtype=float)
    x, forward = to_and_fro(frames, start, stop, rng.uniform(38, 52) / shot.fps, 30, bool(rng.integers(2)))
    sprites = [person(size, clothes, pose, left, colour) for left in (False, True) for pose in WALK]
    pose = walk_poses(np.cumsum(np.abs(np.diff(x, prepend=x[0]))), size) + STRIDE * ~forward
    return [track(sprites, np.where((frames >= start) & (frames < stop), pose, -1), x, y, "carrier", name)]


def steam(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let steam rise from the ground, white and thin, without fire."""
    frames, place, y = np.arange(shot.n_frames), rng.uniform(60, 260), int(rng.integers(170, 220))
    inside, tracks = (frames >= start) & (frames < stop), []
    for number in range(6):
        clouds = [puff(9 + 5 * step, rng.uniform(205, 235) * GREY, 0.6 - 0.08 * step) for step in range(6)]
        age = ((frames - start) / shot.fps * rng.uniform(0.5, 0.7) + number / 6) % 1
        pose = np.where(inside, (6 * age).astype(int), -1)
        drift = rng.uniform(-14, 14)
        tracks.append(track(clouds, pose, place + drift * age, y - 75 * age + 20, "steam"))
    return tracks


def _with_bicycle(size: float, clothes: np.ndarray, colour: np.ndarray, pose: Pose, mirrored: bool) -> Sprite:
    drawing = Drawing(size, 1.5 * size)
    bicycle_on(drawing, 0.95 * size, 0.5 * size, colour)
    return drawing.sprite(mirrored)


def bicycle_pushed(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody walk along the walkway and push a bicycle."""
    frames, y, name = np.arange(shot.n_frames), int(rng.integers(188, 234)), str(rng.choice(BICYCLES))
    size, clothes, colour = size_at(y), choose_clothes(rng), np.array(COLOURS[name], dtype=float)
    x, forward = to_and_fro(frames, start, stop, rng.uniform(38, 50) / shot.fps, 50, bool(rng.integers(2)))
    shown = (frames >= start) & (frames < stop)
    bicycles = [_with_bicycle(size, clothes, colour, WALK[0], left) for left in (False, True)]
    walking = [person(size, clothes, pose, left) for left in (False, True) for pose in WALK]
    pose = walk_poses(np.cumsum(np.abs(np.diff(x, prepend=x[0]))), size) + STRIDE * ~forward
    beside = track(bicycles, np.where(shown, ~forward, -1), x, y + 2, "pusher", name)
    return [beside, track(walking, np.where(shown, pose, -1), x, y, "walker")]
