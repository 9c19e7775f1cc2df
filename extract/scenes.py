"""Draws what a fixed camera sees: a place, people and vehicles that move through it, and what should not happen there.

Frames are painted with NumPy alone. A picture element is a :class:`Sprite`, its way through the video a :class:`Track`, and
a video is a background with tracks, lighting and noise. Positions are pixels from the top left corner, speeds pixels per
second, colours RGB from 0 to 255, and frame intervals half-open, counted from 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from vadprobe.store.errors import VadprobeError

WIDTH, HEIGHT = 320, 240
PLACES = ("street", "walkway", "square", "parking")
KINDS = ("Panic", "Explosion", "VehicleOnWalkway", "Fighting", "AbandonedObject")

_HORIZON, _WALKWAY_TOP = 82, 148
_POSES = 8  # pictures in one stride
_GREY = np.array([1.0, 1.0, 1.0])
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
                f"a video of {self.n_frames} frames at {self.fps} per second cannot be drawn; at least 1 of each is wanted."
            )
        if (self.kind is None) != (not self.intervals) or self.kind not in (None, *KINDS):
            raise VadprobeError(
                f"the kind {self.kind!r} goes with {len(self.intervals)} intervals; a normal video has kind None and no "
                f"interval, an anomalous one has at least one interval and a kind of {', '.join(KINDS)}."
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

    ``colour`` (height, width, 3) uint16 is the colour times its opacity in 1/256; ``through`` (height, width, 1) uint16 is
    how much of the picture behind remains, in 1/256.
    """

    colour: np.ndarray
    through: np.ndarray


@dataclass(frozen=True)
class Track:
    """A sprite's way through a video: which of ``sprites`` each frame shows (-1: none), and where, all (n_frames,) int."""

    sprites: tuple[Sprite, ...]
    pose: np.ndarray
    x: np.ndarray
    y: np.ndarray


class _Layer:
    """Paints a sprite: strokes and boxes, later ones over earlier ones."""

    def __init__(self, height: float, width: float) -> None:
        self._y, self._x = np.ogrid[: round(height), : round(width)]
        self._colour = np.zeros((round(height), round(width), 3))
        self._opacity = np.zeros((round(height), round(width), 1))

    def stroke(
        self, start: _Point, stop: _Point, radius: float, colour: np.ndarray, opacity: float = 1.0, soft: float = 1.0
    ) -> None:
        """A round pen of ``radius`` drawn from ``start`` to ``stop`` (x, y); its edge fades over ``soft`` pixels."""
        along = np.subtract(stop, start)
        x, y = self._x - start[0], self._y - start[1]
        position = np.clip((x * along[0] + y * along[1]) / max(float(along @ along), 1e-9), 0.0, 1.0)
        distance = np.hypot(x - position * along[0], y - position * along[1])
        self._over(np.clip((radius - distance) / soft + 0.5, 0.0, 1.0) * opacity, colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: np.ndarray) -> None:
        """An upright rectangle."""
        inside = (self._x >= left) & (self._x < right) & (self._y >= top) & (self._y < bottom)
        self._over(inside.astype(float), colour)

    def _over(self, opacity: np.ndarray, colour: np.ndarray) -> None:
        opacity = opacity[..., np.newaxis]
        self._colour += opacity * (colour - self._colour)
        self._opacity += opacity * (1.0 - self._opacity)

    def sprite(self, mirrored: bool = False) -> Sprite:
        """The finished picture, as it looks to the right or to the left."""
        step = -1 if mirrored else 1
        colour = np.floor(self._colour[:, ::step] * 256.0).astype(np.uint16)
        return Sprite(colour, np.floor((1.0 - self._opacity[:, ::step]) * 256.0).astype(np.uint16))


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


def _person(
    height: float, clothes: np.ndarray, turn: float, swing: float, lean: float, *, bag: bool, mirrored: bool
) -> Sprite:
    """A figure that looks right. ``turn`` is the angle of the stride, ``swing`` its width, ``lean`` the tilt forward."""
    layer, step = _Layer(height, height), swing * np.sin(turn)
    hip, neck = (0.45 * height, 0.54 * height), ((0.45 + 0.3 * lean) * height, 0.24 * height)
    layer.stroke((0.3 * height, 0.98 * height), (0.6 * height, 0.98 * height), 0.03 * height, 0 * _GREY, 0.4, 3.0)
    for side, shade in ((-1.0, 0.8), (1.0, 1.0)):
        foot = (hip[0] + side * step * 0.34 * height, (0.97 - 0.1 * max(0.0, -side * np.cos(turn)) * swing) * height)
        hand = (neck[0] - side * step * 0.3 * height, (0.5 - 0.14 * swing) * height)
        layer.stroke(hip, foot, 0.045 * height, clothes[1] * shade)
        layer.stroke((neck[0], neck[1] + 0.03 * height), hand, 0.032 * height, clothes[0] * shade * 0.9)
    layer.stroke(hip, (neck[0], neck[1] + 0.04 * height), 0.085 * height, clothes[0])
    layer.stroke((neck[0] + 0.02 * height, 0.1 * height),) if False else None
    return layer.sprite(mirrored)
