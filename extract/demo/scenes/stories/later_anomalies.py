"""Stories of the anomalies that version 2 of the world adds."""

import numpy as np

from vadprobe.extract.demo.scenes.figures import GREY, STRIDE, WALK, Pose, lying, person
from vadprobe.extract.demo.scenes.roles import COLOURS
from vadprobe.extract.demo.scenes.shot import Shot
from vadprobe.extract.demo.scenes.sprites import Drawing, Sprite, Track
from vadprobe.extract.demo.scenes.stories.paths import (
    choose_clothes,
    only_while,
    size_at,
    to_and_fro,
    track,
    walk_poses,
)
from vadprobe.extract.demo.scenes.things import bicycle_on, dog

BICYCLES = ("red", "blue", "green", "white")
_FALLING = (0.35, 0.9)  # tilt of the body on its way down
CLIMBING = tuple(Pose(2 * np.pi * part / STRIDE, 0.5, 0.0, 1.25, 0.0) for part in range(STRIDE))


def _rider(size: float, clothes: np.ndarray, colour: np.ndarray, turn: float, mirrored: bool) -> Sprite:
    length = 0.95 * size
    drawing = Drawing(1.12 * size, 1.1 * size)
    bicycle_on(drawing, length, 0.08 * size, colour)
    ground = drawing.height - 1
    seat, pedals = (0.44 * size, ground - 0.54 * length), (0.52 * size, ground - 0.24 * length)
    neck = (0.6 * size, ground - 0.86 * size)
    for phase, shade in ((np.pi, 0.75), (0.0, 1.0)):
        foot = (pedals[0] + 0.09 * size * np.cos(turn + phase), pedals[1] + 0.09 * size * np.sin(turn + phase))
        knee = (0.5 * (seat[0] + foot[0]) + 0.1 * size, 0.5 * (seat[1] + foot[1]))
        drawing.stroke(seat, knee, 0.045 * size, clothes[1] * shade)
        drawing.stroke(knee, foot, 0.04 * size, clothes[1] * shade)
    drawing.stroke(seat, neck, 0.08 * size, clothes[0])
    drawing.stroke(neck, (0.74 * size, ground - 0.56 * length), 0.035 * size, clothes[0] * 0.85)
    head = (neck[0] + 0.06 * size, neck[1] - 0.12 * size)
    drawing.stroke(head, head, 0.075 * size, np.array([196.0, 156.0, 128.0]))
    return drawing.sprite(mirrored)


def cycling(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody ride a bicycle along the walkway, to and fro as long as there is time."""
    frames, y, name = np.arange(shot.n_frames), int(rng.integers(184, 236)), str(rng.choice(BICYCLES))
    size, clothes, colour = 1.05 * size_at(y), choose_clothes(rng), np.array(COLOURS[name], dtype=float)
    speed = rng.uniform(100, 150) / shot.fps
    x, forward = to_and_fro(frames, start, stop, speed, 45, bool(rng.integers(2)))
    sprites = [_rider(size, clothes, colour, pose.turn, left) for left in (False, True) for pose in WALK]
    turn = (frames * 12 // shot.fps) % STRIDE
    pose = np.where((frames >= start) & (frames < stop), turn + STRIDE * ~forward, -1)
    return [track(sprites, pose, x, y, "cyclist", name)]


def fall(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody walk by, fall at `start`, lie until `stop`, and walk on."""
    frames, place, y = np.arange(shot.n_frames), rng.uniform(70, 250), int(rng.integers(192, 234))
    size, clothes, mirrored = size_at(y), choose_clothes(rng), bool(rng.integers(2))
    before, after = (start - frames).clip(0), (frames - stop + 1).clip(0)
    travelled = rng.uniform(32, 48) / shot.fps * (after - before)
    inside = (frames >= start) & (frames < stop)
    sprites = [person(size, clothes, pose, mirrored) for pose in WALK]
    sprites += [person(size, clothes, Pose(0.5, 1.2, lean, 0.9), mirrored) for lean in _FALLING]
    sprites.append(lying(size, clothes, not mirrored))
    down = np.minimum((frames - start) // max(shot.fps // 5, 1), len(_FALLING))
    pose = np.where(inside, STRIDE + down.clip(0), walk_poses(np.abs(travelled), size))
    way = track(sprites, pose, place + travelled * (-1 if mirrored else 1), y, "walker")
    lies = only_while(way, inside)
    return [only_while(way, ~inside), Track(lies.sprites, lies.pose, lies.x, lies.y, "fallen")]


def climbing(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody climb up from the walkway's far edge and down again."""
    frames, place, foot = np.arange(shot.n_frames), rng.uniform(60, 260), int(rng.integers(160, 172))
    size, clothes = size_at(foot) * rng.uniform(1.0, 1.2), choose_clothes(rng)
    up = np.interp(frames, [start, start + 0.4 * (stop - start), start + 0.7 * (stop - start), stop - 1], [0, 1, 1, 0])
    climbed = up * rng.uniform(45, 85)
    sprites = [person(size, clothes, pose, False) for pose in CLIMBING]
    pose = np.where((frames >= start) & (frames < stop), walk_poses(2 * climbed, size), -1)
    return [track(sprites, pose, place + 2 * np.sin(climbed / 6), foot - climbed, "climber")]


def loose_animal(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let a dog without a leash run to and fro."""
    frames, y = np.arange(shot.n_frames), int(rng.integers(190, 236))
    length, coat = 0.62 * size_at(y), rng.choice([(150, 105, 60), (60, 50, 45), (205, 190, 165)]).astype(float)
    x, forward = to_and_fro(frames, start, stop, rng.uniform(80, 140) / shot.fps, 30, bool(rng.integers(2)))
    sprites = [dog(length, coat, pose.turn, left) for left in (False, True) for pose in WALK]
    turn = (frames * 20 // shot.fps) % STRIDE
    pose = np.where((frames >= start) & (frames < stop), turn + STRIDE * ~forward, -1)
    drift = 8 * np.sin(frames / shot.fps * rng.uniform(1.0, 2.0))
    return [track(sprites, pose, x, y - 8 + drift, "dog")]


def loitering(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Let somebody in dark clothes pace up and down at one place, stop and turn, again and again."""
    frames, place, y = np.arange(shot.n_frames), rng.uniform(70, 250), int(rng.integers(176, 228))
    size = size_at(y)
    clothes = np.stack([rng.uniform(22, 42) * GREY, rng.uniform(20, 36) * GREY])
    beat = (frames - start) / shot.fps * rng.uniform(1.4, 2.0) + rng.random()
    pace = 2 * np.abs(beat % 2 - 1)  # there and back
    pace = np.clip(1.4 * pace - 0.2, 0, 2) - 1  # with a stop at each end
    before, after = (start - frames).clip(0), (frames - stop + 1).clip(0)
    x = place + 26 * pace * ((frames >= start) & (frames < stop)) + 42 / shot.fps * (after - before)
    moved = np.diff(x, prepend=x[0])
    pose = walk_poses(np.cumsum(np.abs(moved)), size) + STRIDE * (moved < 0)
    sprites = [person(size, clothes, one, left) for left in (False, True) for one in WALK]
    way = track(sprites, pose, x, y, "walker")
    inside = only_while(way, (frames >= start) & (frames < stop))
    outside = only_while(way, (frames < start) | (frames >= stop))
    return [outside, Track(inside.sprites, inside.pose, inside.x, inside.y, "loiterer")]
