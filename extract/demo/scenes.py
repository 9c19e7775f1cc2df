"""Draws what a fixed camera sees: a place, people and vehicles that move through it, and what should not happen there.

Frames are painted with NumPy alone. A picture element is a ``Sprite``, its way through the video a
``Track``, and a video is a background with tracks, lighting and noise. Positions are pixels from the top left
corner, speeds pixels per second, colours RGB from 0 to 255, and frame intervals half-open, counted from 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vadprobe.store.errors import VadprobeError

WIDTH, HEIGHT = 320, 240
PLACES = ("street", "walkway", "square", "parking")
KINDS = ("Panic", "Explosion", "VehicleOnWalkway", "Fighting", "AbandonedObject")

_HORIZON, _WALKWAY_TOP = 82, 148
_STRIDE = 8  # poses in one stride
_GREY, _SKIN, _HAIR = np.array([1.0, 1.0, 1.0]), np.array([196.0, 156.0, 128.0]), np.array([52.0, 42.0, 36.0])
_Point = tuple[float, float]


@dataclass(frozen=True)
class Shot:
    """The script of one video: where, how long, and in which frames ``[start, stop)`` something of ``kind`` happens."""

    place: str
    n_frames: int
    fps: int
    kind: str | None = None
    intervals: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.place not in PLACES:
            raise VadprobeError(f"the place is {self.place!r}; it must be one of {', '.join(PLACES)}.")
        if self.n_frames < 1 or self.fps < 1:
            raise VadprobeError(
                f"a video of {self.n_frames} frames at {self.fps} per second cannot be drawn; both must be at least 1."
            )
        if (self.kind is None) != (not self.intervals) or self.kind not in (None, *KINDS):
            raise VadprobeError(
                f"the kind {self.kind!r} goes with {len(self.intervals)} intervals; a normal video has kind None and "
                f"no interval, an anomalous one has at least one interval and a kind of {', '.join(KINDS)}."
            )
        edges = [0, *(edge for interval in self.intervals for edge in interval), self.n_frames]
        if edges != sorted(edges) or any(start == stop for start, stop in self.intervals):
            raise VadprobeError(
                f"the intervals {self.intervals} must be ascending, apart, not empty, and inside the frames "
                f"[0, {self.n_frames}), half-open."
            )

    @property
    def truth(self) -> np.ndarray:
        """(n_frames,) bool, True where a frame is anomalous."""
        truth = np.zeros(self.n_frames, dtype=bool)
        for start, stop in self.intervals:
            truth[start:stop] = True
        return truth


@dataclass(frozen=True)
class Sprite:
    """A picture with soft edges, held by the middle of its bottom edge.

    ``colour`` (height, width, 3) uint16 is the colour times its opacity in 1/256; ``through`` (height, width, 1) uint16
    is how much of the picture behind remains, in 1/256.
    """

    colour: np.ndarray
    through: np.ndarray


@dataclass(frozen=True)
class Track:
    """A sprite's way through a video: which of ``sprites`` each frame shows (-1: none), and where; (n_frames,) int."""

    sprites: tuple[Sprite, ...]
    pose: np.ndarray
    x: np.ndarray
    y: np.ndarray


def _limit(values: np.ndarray) -> None:
    """Cut to 0 to 1 in place; for the few values of a stroke much faster than ``np.clip``."""
    np.maximum(values, 0.0, out=values)
    np.minimum(values, 1.0, out=values)


class _Layer:
    """Paints a sprite: strokes and boxes, later ones over earlier ones."""

    def __init__(self, height: float, width: float) -> None:
        self._picture = np.zeros((round(height), round(width), 4))  # colour times opacity, opacity

    def stroke(
        self, start: _Point, stop: _Point, radius: float, colour: np.ndarray, opacity: float = 1.0, soft: float = 1.0
    ) -> None:
        """A round pen of ``radius`` drawn from ``start`` to ``stop`` (x, y); its edge fades over ``soft`` pixels."""
        reach = radius + soft
        left, top = (max(int(min(pair) - reach), 0) for pair in zip(start, stop, strict=True))
        part = self._picture[
            top : int(max(start[1], stop[1]) + reach) + 1, left : int(max(start[0], stop[0]) + reach) + 1
        ]
        x = np.arange(left, left + part.shape[1]) - start[0]
        y = np.arange(top, top + part.shape[0])[:, np.newaxis] - start[1]
        along = np.subtract(stop, start)
        position = (x * along[0] + y * along[1]) / max(float(along @ along), 1e-9)
        _limit(position)
        cover = radius - np.hypot(x - position * along[0], y - position * along[1])
        cover /= soft
        cover += 0.5
        _limit(cover)
        cover *= opacity
        part += cover[..., np.newaxis] * (np.append(colour, 1.0) - part)

    def box(self, left: float, top: float, right: float, bottom: float, colour: np.ndarray) -> None:
        """An upright rectangle."""
        self._picture[round(top) : round(bottom), round(left) : round(right)] = np.append(colour, 1.0)

    def sprite(self, mirrored: bool = False) -> Sprite:
        """The finished picture, as it looks to the right or to the left."""
        picture = self._picture[:, :: -1 if mirrored else 1] * 256.0
        return Sprite(picture[..., :3].astype(np.uint16), (256.0 - picture[..., 3:]).astype(np.uint16))


def _paint(canvas: np.ndarray, sprite: Sprite, x: int, y: int) -> None:
    """Lay a sprite on ``canvas`` (HEIGHT, WIDTH, 3) uint8; what lies outside is cut, wholly outside is nothing."""
    height, width = sprite.through.shape[:2]
    left, top = x - width // 2, y - height
    rows = slice(max(top, 0), max(min(top + height, HEIGHT), 0))
    columns = slice(max(left, 0), max(min(left + width, WIDTH), 0))
    part = canvas[rows, columns]
    if part.size:
        cut = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
        part[...] = (part * sprite.through[cut] + sprite.colour[cut]) >> 8


class _Pose(NamedTuple):
    """How a figure stands: angle of the stride, its width, tilt forward, and how high the hands are (0 to 1)."""

    turn: float
    swing: float = 0.6
    lean: float = 0.0
    raised: float = 0.0


_WALK = tuple(_Pose(2 * np.pi * part / _STRIDE) for part in range(_STRIDE))
_RUN = tuple(_Pose(pose.turn, 1.3, 0.5, 0.35) for pose in _WALK)


def _person(size: float, clothes: np.ndarray, pose: _Pose, mirrored: bool, load: np.ndarray | None = None) -> Sprite:
    """A figure ``size`` pixels tall, facing right. ``clothes`` (2, 3): shirt, trousers; ``load``: colour of a bag."""
    layer = _Layer(size, size)
    hip, neck = (0.45 * size, 0.54 * size), ((0.45 + 0.3 * pose.lean) * size, 0.24 * size)
    step, lift = 0.3 * size * pose.swing * np.sin(pose.turn), 0.1 * size * pose.swing * np.cos(pose.turn)
    layer.stroke((0.25 * size, 0.97 * size), (0.65 * size, 0.97 * size), 0.03 * size, 0 * _GREY, 0.4, 3.0)
    for side, shade in ((-1, 0.75), (1, 1.0)):
        layer.stroke(
            hip,
            (hip[0] + side * step, 0.95 * size - max(0.0, -side * lift)),
            0.045 * size,
            clothes[1] * shade,
        )
        if load is not None and side == 1:
            layer.box(0.38 * size, 0.5 * size, 0.54 * size, 0.8 * size, load)
        hand = (neck[0] - 0.8 * side * step, (0.52 - 0.4 * pose.raised) * size)
        layer.stroke((neck[0], neck[1] + 0.03 * size), hand, 0.035 * size, clothes[0] * shade * 0.9)
    layer.stroke(hip, (neck[0], neck[1] + 0.04 * size), 0.085 * size, clothes[0])
    head = (neck[0] + 0.02 * size, 0.1 * size)
    layer.stroke(head, head, 0.075 * size, _HAIR)
    layer.stroke((head[0] + 0.02 * size, 0.12 * size), (head[0] + 0.02 * size, 0.12 * size), 0.055 * size, _SKIN)
    return layer.sprite(mirrored)


def _vehicle(length: float, paint: np.ndarray, mirrored: bool, van: bool) -> Sprite:
    """A car or van ``length`` pixels long that looks right."""
    layer, glass = _Layer(0.6 * length, length), np.array([58.0, 70.0, 82.0])
    layer.stroke((0.08 * length, 0.56 * length), (0.92 * length, 0.56 * length), 0.03 * length, 0 * _GREY, 0.5, 4.0)
    if van:
        layer.box(0.03 * length, 0.04 * length, 0.78 * length, 0.48 * length, paint)
        layer.stroke((0.7 * length, 0.2 * length), (0.8 * length, 0.2 * length), 0.1 * length, paint)
        layer.box(0.72 * length, 0.13 * length, 0.88 * length, 0.26 * length, glass)
    else:
        layer.stroke((0.34 * length, 0.24 * length), (0.62 * length, 0.24 * length), 0.12 * length, paint * 0.9)
        layer.box(0.3 * length, 0.16 * length, 0.46 * length, 0.28 * length, glass)
        layer.box(0.5 * length, 0.16 * length, 0.66 * length, 0.28 * length, glass)
    layer.stroke((0.13 * length, 0.38 * length), (0.87 * length, 0.38 * length), 0.11 * length, paint)
    layer.box(0.03 * length, 0.42 * length, 0.97 * length, 0.44 * length, paint * 0.6)
    layer.box(0.93 * length, 0.33 * length, 0.98 * length, 0.38 * length, np.array([250.0, 240.0, 190.0]))
    for x in (0.22 * length, 0.77 * length):
        layer.stroke((x, 0.49 * length), (x, 0.49 * length), 0.09 * length, 28 * _GREY)
        layer.stroke((x, 0.49 * length), (x, 0.49 * length), 0.04 * length, 150 * _GREY)
    return layer.sprite(mirrored)


def _suitcase(size: float, colour: np.ndarray) -> Sprite:
    """A case ``size`` pixels high that stands on the ground."""
    layer = _Layer(size, 1.15 * size)
    layer.stroke((0.2 * size, 0.96 * size), (size, 0.96 * size), 0.04 * size, 0 * _GREY, 0.5, 4.0)
    layer.stroke((0.42 * size, 0.1 * size), (0.72 * size, 0.1 * size), 0.05 * size, 40 * _GREY)
    layer.box(0.12 * size, 0.16 * size, 1.02 * size, 0.95 * size, colour)
    for x in (0.3 * size, 0.78 * size):
        layer.box(x, 0.16 * size, x + 0.07 * size, 0.95 * size, colour * 0.55)
    return layer.sprite()


def _puff(radius: float, colour: np.ndarray, opacity: float) -> Sprite:
    """A soft round cloud."""
    layer = _Layer(2 * radius, 2 * radius)
    layer.stroke((radius, radius), (radius, radius), 0.55 * radius, colour, opacity, 0.9 * radius)
    return layer.sprite()


def _texture(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """(HEIGHT, WIDTH, 1) smooth noise of about unit size with that many patches down and across."""
    down = np.maximum(0.0, 1.0 - np.abs(np.linspace(0, rows - 1, HEIGHT)[:, np.newaxis] - np.arange(rows)))
    across = np.maximum(0.0, 1.0 - np.abs(np.linspace(0, columns - 1, WIDTH)[:, np.newaxis] - np.arange(columns)))
    return (down @ rng.normal(size=(rows, columns)) @ across.T)[..., np.newaxis]


def _tint(rng: np.random.Generator, low: float, high: float, spread: float = 8.0) -> np.ndarray:
    """A greyish colour of brightness between ``low`` and ``high``."""
    return rng.uniform(low, high) + rng.uniform(-spread, spread, 3)


def _draw_wall(picture: np.ndarray, rng: np.random.Generator, bottom: int) -> None:
    """A house front with rows of windows from the top edge down to ``bottom``."""
    y, x = np.ogrid[:bottom, :WIDTH]
    picture[:bottom] = _tint(rng, 95, 135, 12)
    wide, high = int(rng.integers(24, 44)), int(rng.integers(24, 36))
    window = ((x + int(rng.integers(wide))) % wide < 0.5 * wide) & ((y + 4) % high < 0.6 * high) & (y < bottom - 6)
    picture[:bottom][window] = _tint(rng, 45, 75)
    picture[bottom - 6 : bottom] *= 0.8


def _draw_trees(picture: np.ndarray, rng: np.random.Generator, bottom: int) -> None:
    """A hedge of round tree tops from the top edge down to ``bottom``, lawn below."""
    picture[:bottom] = np.array([150.0, 165.0, 178.0])
    picture[bottom:] = np.array([84.0, 112.0, 66.0]) * rng.uniform(0.85, 1.1)
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    for _ in range(28):
        centre, radius = rng.uniform((0, 25), (WIDTH, bottom - 10)), rng.uniform(14, 30)
        leaves = (np.hypot(x - centre[0], y - centre[1]) < radius) & (y < bottom)
        picture[leaves] = np.array([62.0, 88.0, 52.0]) * rng.uniform(0.7, 1.2)


def _draw_road(picture: np.ndarray, rng: np.random.Generator) -> None:
    """A road across the picture, behind the walkway."""
    picture[96:144] = _tint(rng, 70, 90, 4)
    dashes = (np.arange(WIDTH) + int(rng.integers(40))) % 40 < 22
    picture[118:120, dashes] = 190.0
    picture[144:_WALKWAY_TOP] = 165.0


def _draw_parking(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Marked bays with some parked cars, and the lane before them."""
    picture[_HORIZON - 22 : _WALKWAY_TOP] = _tint(rng, 75, 95, 4)
    for left in range(-20 + int(rng.integers(20)), WIDTH, 66):
        picture[_HORIZON - 10 : 112, max(left, 0) : max(left + 3, 0)] = 185.0
        if rng.random() < 0.7:
            canvas = picture.astype(np.uint8)
            _paint(canvas, _vehicle(58, _tint(rng, 60, 170, 40), bool(rng.integers(2)), False), left + 35, 110)
            picture[:] = canvas


def draw_background(place: str, rng: np.random.Generator) -> np.ndarray:
    """The empty place as its camera sees it: (HEIGHT, WIDTH, 3) uint8.

    Every place has a walkway in front, where only people walk. "street" and "parking" have a road or lane behind it,
    "walkway" has lawn and trees, "square" a house front and paving. Another ``rng`` gives another place of that sort.
    """
    picture = np.zeros((HEIGHT, WIDTH, 3))
    picture[:] = _tint(rng, 120, 150)
    if place == "walkway":
        _draw_trees(picture, rng, _HORIZON)
    else:
        _draw_wall(picture, rng, _HORIZON - 22 if place == "parking" else _HORIZON)
    if place == "street":
        _draw_road(picture, rng)
    elif place == "parking":
        _draw_parking(picture, rng)
    y, x = np.ogrid[_WALKWAY_TOP:HEIGHT, :WIDTH]
    depth = 1.0 / (y - _HORIZON + 20.0)
    tiles = ((x - rng.uniform(60, 260)) * depth * 6 % 1 < 0.06) | (depth * rng.uniform(700, 1100) % 1 < 0.09)
    picture[_WALKWAY_TOP:] = np.where(tiles[..., np.newaxis], 0.82, 1.0) * _tint(rng, 125, 155, 6)
    picture += 5.0 * _texture(rng, 12, 16) + 4.0 * _texture(rng, 60, 80) + rng.normal(0.0, 3.0, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _walk_poses(travelled: np.ndarray, size: float) -> np.ndarray:
    """Which pose of the stride each frame shows, from the distance travelled in pixels."""
    return (travelled / (0.1 * size)).astype(int) % _STRIDE


def _walker(rng: np.random.Generator, shot: Shot) -> Track:
    """Somebody who walks up and down the walkway; in a panic she runs six times as fast."""
    y, mirrored = int(rng.integers(166, 232)), bool(rng.integers(2))
    size, clothes = _size_at(y), _clothes(rng)
    load = _tint(rng, 50, 110, 25) if rng.random() < 0.3 else None
    running = shot.truth & (shot.kind == "Panic")
    travelled = np.cumsum(rng.uniform(30, 50) / shot.fps * np.where(running, 6.0, 1.0))
    place = (rng.uniform(0, WIDTH + 80) + travelled * (-1 if mirrored else 1)) % (WIDTH + 80) - 40
    poses = _WALK + _RUN if running.any() else _WALK
    pose = _walk_poses(travelled / np.where(running, 3.0, 1.0), size) + _STRIDE * running
    return _track([_person(size, clothes, pose, mirrored, load) for pose in poses], pose, place, y)


def _size_at(y: int) -> float:
    """How tall a person is whose feet are at ``y`` on the walkway, in pixels."""
    return 64 + 0.55 * (y - 160)


def _clothes(rng: np.random.Generator) -> np.ndarray:
    """(2, 3) colours of shirt and trousers."""
    return np.stack([_tint(rng, 55, 190, 30), _tint(rng, 35, 80, 12)])


def _track(sprites: list[Sprite], pose: np.ndarray, x: np.ndarray, y: np.ndarray | float) -> Track:
    return Track(tuple(sprites), pose, np.rint(x).astype(int), np.rint(y + 0.0 * x).astype(int))


def _road_car(rng: np.random.Generator, shot: Shot) -> Track:
    """A car that drives slowly on the road behind the walkway, again and again."""
    mirrored, length, around = bool(rng.integers(2)), rng.uniform(58, 74), WIDTH + rng.uniform(300, 700)
    travelled = rng.uniform(0, around) + np.arange(shot.n_frames) * rng.uniform(35, 60) / shot.fps
    x = (-travelled if mirrored else travelled) % around - length
    sprite = _vehicle(length, _tint(rng, 60, 180, 40), mirrored, bool(rng.random() < 0.3))
    return _track([sprite], np.zeros(shot.n_frames, int), x, 122 if mirrored else 143)


def _panic(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """A crowd that runs through the picture, in at one side and out at the other."""
    frames, mirrored = np.arange(shot.n_frames), bool(rng.integers(2))
    speeds = rng.uniform(230, 330, size=3 * (stop - start) // shot.fps + 4)
    crossing = (WIDTH + 90) / speeds * shot.fps
    entries = start + np.linspace(0, 1, len(speeds)) * np.maximum(stop - start - crossing, 0)
    tracks = []
    for speed, entry in zip(speeds, entries, strict=True):
        y = int(rng.integers(180, 238))
        size, clothes = _size_at(y) * 1.15, _clothes(rng)
        travelled = np.maximum(frames - entry, 0) * speed / shot.fps
        x = WIDTH + 35 - travelled if mirrored else travelled - 35
        pose = np.where((frames >= entry) & (frames < stop), _walk_poses(travelled / 2.5, size), -1)
        tracks.append(_track([_person(size, clothes, pose, mirrored) for pose in _RUN], pose, x, y))
    return tracks


def _blast_frames(shot: Shot, start: int, stop: int) -> range:
    """The frames in which something blows up: the first one, and every three seconds as long as it burns."""
    return range(start, max(stop - shot.fps, start + 1), 3 * shot.fps)


def _explosion(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """A fire with a ball of flame at each blast, and grey smoke that grows, rises and thins out before ``stop``."""
    frames, centre = np.arange(shot.n_frames), rng.uniform((90, 165), (230, 205))
    inside = (frames >= start) & (frames < stop)
    since = np.min([np.where(frames >= at, frames - at, shot.n_frames) for at in _blast_frames(shot, start, stop)], 0)
    flames = [_puff(radius, np.array([255.0, 150.0, 40.0]), 0.95) for radius in (22, 28, 34, 60, 85)]
    burning = np.where(since < 0.4 * shot.fps, 3 + (since < 0.2 * shot.fps), rng.integers(3, size=shot.n_frames))
    tracks = [_track(flames, np.where(inside, burning, -1), centre[0] + 0.0 * frames, centre[1] + 25)]
    for _ in range(8):
        grey, drift = rng.uniform(85, 175) * _GREY, rng.uniform((-90, 10), (90, 110))
        clouds = [_puff(40 + 8 * step, grey, 0.9) for step in range(10)]
        clouds += [_puff(112, grey, opacity) for opacity in (0.6, 0.4, 0.25)]
        born = start + int(rng.integers(max((stop - start) // 8, 1)))
        age = np.clip((frames - born) / max(stop - born, 1), 0.0, 1.0)
        pose = np.where(age < 0.85, 10 * np.sqrt(age / 0.85), 10 + (age - 0.85) / 0.05).astype(int)
        pose = np.where(inside & (frames >= born), np.minimum(pose, len(clouds) - 1), -1)
        path = centre[:, np.newaxis] + np.sqrt(age) * (drift * (1, -1))[:, np.newaxis]
        tracks.append(_track(clouds, pose, path[0], path[1] + 75))
    return tracks


def _vehicle_on_walkway(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """A van that drives onto the walkway, to and fro as long as there is time, and off again."""
    frames, length = np.arange(shot.n_frames), rng.uniform(150, 185)
    passes = max(1, round((stop - start) / (3.5 * shot.fps)))
    turns = [-0.45 * length, *([WIDTH - 0.3 * length, 0.3 * length] * passes)[: passes - 1]]
    turns.append(WIDTH + 0.45 * length if passes % 2 else -0.45 * length)
    x = np.interp(frames, np.linspace(start, stop - 1, len(turns)), turns)
    mirrored = bool(rng.integers(2))
    colour = rng.choice([(225, 225, 230), (205, 45, 40), (235, 180, 40), (40, 90, 190)]).astype(float)
    pose = np.where((frames >= start) & (frames < stop), 0, -1)
    van = _vehicle(length, colour, mirrored, True)
    return [_track([van], pose, WIDTH - x if mirrored else x, int(rng.integers(206, 234)))]


def _fighting(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """Two people who walk up to each other, hit about them in ``[start, stop)``, and part."""
    frames, meeting, y = np.arange(shot.n_frames), rng.uniform(90, 230), int(rng.integers(215, 236))
    size, inside = _size_at(y) * 1.25, (frames >= start) & (frames < stop)
    away = np.maximum(start - frames, frames - stop + 1).clip(0) * rng.uniform(40, 55) / shot.fps
    tracks = []
    for side in (-1, 1):
        clothes = _clothes(rng)
        shove = rng.uniform((-16, -7), (16, 7), size=(shot.n_frames, 2)) * inside[:, np.newaxis]
        facing = [_person(size, clothes, pose, side > 0) for pose in _WALK]
        leaving = [_person(size, clothes, pose, side < 0) for pose in _WALK]
        blows = rng.uniform((0, 0.9, -0.4, 0.2), (6, 1.5, 0.7, 1.2), size=(12, 4))
        hitting = [_person(size, clothes, _Pose(*blow), side > 0) for blow in blows.tolist()]
        pose = _walk_poses(away, size) + np.where(frames < start, 0, _STRIDE)
        pose = np.where(inside, 2 * _STRIDE + rng.integers(len(blows), size=shot.n_frames), pose)
        x = meeting + side * (away + 0.16 * size) + shove[:, 0]
        tracks.append(_track(facing + leaving + hitting, pose, x, y + shove[:, 1]))
    return tracks


def _abandoned_object(rng: np.random.Generator, shot: Shot, start: int, stop: int) -> list[Track]:
    """A large case left standing in ``[start, stop)``: its owner walks on, and somebody takes it away in the end."""
    frames, place, y = np.arange(shot.n_frames), rng.uniform(70, 250), int(rng.integers(205, 236))
    colour = rng.choice([(205, 40, 40), (230, 120, 30), (225, 190, 40)]).astype(float)
    inside = (frames >= start) & (frames < stop)
    tracks = [_track([_suitcase(rng.uniform(52, 64), colour)], np.where(inside, 0, -1), place + 0.0 * frames, y)]
    for hand_over, carries in ((start, frames < start), (stop, frames >= stop)):
        mirrored, clothes, size = bool(rng.integers(2)), _clothes(rng), _size_at(y - 2)
        travelled = (frames - hand_over) * rng.uniform(38, 52) / shot.fps
        sprites = [_person(size, clothes, pose, mirrored, load) for load in (None, colour) for pose in _WALK]
        x = place + travelled * (-1 if mirrored else 1)
        tracks.append(_track(sprites, _walk_poses(np.abs(travelled), size) + _STRIDE * carries, x, y - 2))
    return tracks


_STORIES: dict[str, Callable[[np.random.Generator, Shot, int, int], list[Track]]] = dict(
    zip(KINDS, (_panic, _explosion, _vehicle_on_walkway, _fighting, _abandoned_object), strict=True)
)


def _tracks(shot: Shot, crowd: np.random.Generator, story: np.random.Generator) -> list[Track]:
    """All that moves, from the back of the picture to the front; smoke is in front of everything."""
    tracks = [_walker(crowd, shot) for _ in range(crowd.integers(3, 6))]
    if shot.place in ("street", "parking"):
        tracks += [_road_car(crowd, shot) for _ in range(2)]
    happening = [
        track for start, stop in shot.intervals for track in _STORIES[str(shot.kind)](story, shot, start, stop)
    ]
    if shot.kind == "Explosion":
        return sorted(tracks, key=lambda track: track.y[0]) + happening
    return sorted(tracks + happening, key=lambda track: track.y[0])


def _light(shot: Shot, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The camera's gain (about 1, with a slow drift) and the glare of blasts (0 to 1), each (n_frames,)."""
    frames = np.arange(shot.n_frames)
    swell = np.sin(2 * np.pi * (frames / (shot.fps * rng.uniform(15, 50)) + rng.random()))
    gain = rng.uniform(0.92, 1.05) + rng.uniform(0.02, 0.06) * swell + rng.normal(0, 0.004, shot.n_frames)
    glare = np.zeros(shot.n_frames)
    for start, stop in shot.intervals if shot.kind == "Explosion" else ():
        for blast in _blast_frames(shot, start, stop):
            fading = np.exp(-np.arange(stop - blast) / (0.45 * shot.fps))
            glare[blast:stop] = np.maximum(glare[blast:stop], 0.95 * fading)
    return gain, glare


def draw_frames(shot: Shot, background: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The frames of a video, one after the other, each (HEIGHT, WIDTH, 3) uint8 RGB.

    The same arguments (``rng`` in the same state) give the same bytes. Who walks by, what happens and the noise
    come from three generators spawned from ``rng``: a shot without its intervals has the same passers-by and noise.

    Args:
        shot: place, length and what happens when; in each interval something of its kind is seen in every frame.
        background: (HEIGHT, WIDTH, 3) uint8 from ``draw_background``.
    """
    crowd, story, camera = rng.spawn(3)
    tracks = _tracks(shot, crowd, story)
    gain, glare = _light(shot, camera)
    grain = camera.normal(0.0, camera.uniform(2.5, 5.0), (HEIGHT + 32, WIDTH + 32, 3)).round().astype(np.int16)
    offsets = camera.integers(32, size=(shot.n_frames, 2)).tolist()
    levels = np.arange(256.0)
    for frame, (down, right) in enumerate(offsets):
        canvas = background.copy()
        for track in tracks:
            if track.pose[frame] >= 0:
                _paint(canvas, track.sprites[track.pose[frame]], int(track.x[frame]), int(track.y[frame]))
        seen = ((levels + (252.0 - levels) * glare[frame]) * gain[frame]).astype(np.int16)
        noisy = seen[canvas] + grain[down : down + HEIGHT, right : right + WIDTH]
        yield np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)
