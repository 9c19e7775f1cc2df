"""Pictures with soft edges, and their ways through a video."""

from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 320, 240

Point = tuple[float, float]


@dataclass(frozen=True)
class Sprite:
    """A picture with soft edges, placed by the middle of its bottom edge.

    `colour` (height, width, 3) uint16 is the colour times its opacity in 1/256; `through` (height, width, 1) uint16
    is the part of the picture behind that remains, in 1/256.
    """

    colour: np.ndarray
    through: np.ndarray


@dataclass(frozen=True)
class Track:
    """A way through a video: the number of the sprite in each frame (-1: none), its x and y; (n_frames,) int.

    `role` says who or what it is, one of `ROLES` of `vadprobe.extract.demo.scenes.roles`; `colour` is the name of the
    colour that a caption may tell, or "".
    """

    sprites: tuple[Sprite, ...]
    pose: np.ndarray
    x: np.ndarray
    y: np.ndarray
    role: str = ""
    colour: str = ""

    def is_seen(self, frame: int, margin: int = 6) -> bool:
        """Return True if the track is in the picture in this frame, its middle at least `margin` pixels inside."""
        return bool(self.pose[frame] >= 0 and margin <= self.x[frame] < WIDTH - margin)


def faded(sprite: Sprite, faintness: float) -> Sprite:
    """Return a sprite made transparent: with `faintness` 0 it stays as it is, with 1 it is invisible."""
    kept = 1.0 - faintness
    through = 256.0 - kept * (256.0 - sprite.through)
    return Sprite((kept * sprite.colour).astype(np.uint16), through.astype(np.uint16))


def _limit(values: np.ndarray) -> None:
    """Clip values to [0, 1] in place; for the few values of a stroke this is much faster than `np.clip`."""
    np.maximum(values, 0.0, out=values)
    np.minimum(values, 1.0, out=values)


class Drawing:
    """A sprite in the making: strokes and boxes, later ones over earlier ones."""

    def __init__(self, height: float, width: float) -> None:
        self._picture = np.zeros((round(height), round(width), 4))  # colour times opacity, opacity

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return len(self._picture)

    def stroke(
        self, start: Point, stop: Point, radius: float, colour: np.ndarray, opacity: float = 1.0, soft: float = 1.0
    ) -> None:
        """Draw a round pen of `radius` from `start` to `stop` (x, y); its edge fades over `soft` pixels."""
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
        """Fill an upright rectangle."""
        self._picture[round(top) : round(bottom), round(left) : round(right)] = np.append(colour, 1.0)

    def sprite(self, mirrored: bool = False) -> Sprite:
        """Return the finished picture, looking to the right or, mirrored, to the left."""
        picture = self._picture[:, :: -1 if mirrored else 1] * 256.0
        return Sprite(picture[..., :3].astype(np.uint16), (256.0 - picture[..., 3:]).astype(np.uint16))


def paint(canvas: np.ndarray, sprite: Sprite, x: int, y: int) -> None:
    """Lay a sprite on `canvas` (HEIGHT, WIDTH, 3) uint8; parts outside are cut."""
    height, width = sprite.through.shape[:2]
    left, top = x - width // 2, y - height
    rows = slice(max(top, 0), max(min(top + height, HEIGHT), 0))
    columns = slice(max(left, 0), max(min(left + width, WIDTH), 0))
    part = canvas[rows, columns]
    if part.size:
        cut = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
        part[...] = (part * sprite.through[cut] + sprite.colour[cut]) >> 8
