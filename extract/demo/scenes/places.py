"""Backgrounds: the empty places as their cameras see them."""

import numpy as np

from vadprobe.extract.demo.scenes.figures import vehicle
from vadprobe.extract.demo.scenes.sprites import HEIGHT, WIDTH, paint

_HORIZON, _WALKWAY_TOP = 82, 148


def _texture(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Return smooth noise of about unit size, (HEIGHT, WIDTH, 1), with `rows` by `columns` patches."""
    down = np.maximum(0.0, 1.0 - np.abs(np.linspace(0, rows - 1, HEIGHT)[:, np.newaxis] - np.arange(rows)))
    across = np.maximum(0.0, 1.0 - np.abs(np.linspace(0, columns - 1, WIDTH)[:, np.newaxis] - np.arange(columns)))
    return (down @ rng.normal(size=(rows, columns)) @ across.T)[..., np.newaxis]


def tint(rng: np.random.Generator, low: float, high: float, spread: float = 8.0) -> np.ndarray:
    """Choose a greyish colour of brightness between `low` and `high`."""
    return rng.uniform(low, high) + rng.uniform(-spread, spread, 3)


def _draw_wall(picture: np.ndarray, rng: np.random.Generator, bottom: int) -> None:
    """Draw a house front with rows of windows from the top edge down to `bottom`."""
    y, x = np.ogrid[:bottom, :WIDTH]
    picture[:bottom] = tint(rng, 95, 135, 12)
    wide, high = int(rng.integers(24, 44)), int(rng.integers(24, 36))
    window = ((x + int(rng.integers(wide))) % wide < 0.5 * wide) & ((y + 4) % high < 0.6 * high) & (y < bottom - 6)
    picture[:bottom][window] = tint(rng, 45, 75)
    picture[bottom - 6 : bottom] *= 0.8


def _draw_trees(picture: np.ndarray, rng: np.random.Generator, bottom: int) -> None:
    """Draw a hedge of round tree tops from the top edge down to `bottom`, lawn below."""
    picture[:bottom] = np.array([150.0, 165.0, 178.0])
    picture[bottom:] = np.array([84.0, 112.0, 66.0]) * rng.uniform(0.85, 1.1)
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    for _ in range(28):
        centre, radius = rng.uniform((0, 25), (WIDTH, bottom - 10)), rng.uniform(14, 30)
        leaves = (np.hypot(x - centre[0], y - centre[1]) < radius) & (y < bottom)
        picture[leaves] = np.array([62.0, 88.0, 52.0]) * rng.uniform(0.7, 1.2)


def _draw_road(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Draw a road across the picture, behind the walkway."""
    picture[96:144] = tint(rng, 70, 90, 4)
    dashes = (np.arange(WIDTH) + int(rng.integers(40))) % 40 < 22
    picture[118:120, dashes] = 190.0
    picture[144:_WALKWAY_TOP] = 165.0


def _draw_parking(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Draw marked bays with some parked cars, and the lane before them."""
    picture[_HORIZON - 22 : _WALKWAY_TOP] = tint(rng, 75, 95, 4)
    for left in range(-20 + int(rng.integers(20)), WIDTH, 66):
        picture[_HORIZON - 10 : 112, max(left, 0) : max(left + 3, 0)] = 185.0
        if rng.random() < 0.7:
            canvas = picture.astype(np.uint8)
            paint(canvas, vehicle(58, tint(rng, 60, 170, 40), bool(rng.integers(2)), False), left + 35, 110)
            picture[:] = canvas


def draw_background(place: str, rng: np.random.Generator) -> np.ndarray:
    """Draw an empty place as its camera sees it, (HEIGHT, WIDTH, 3) uint8.

    Every place has a walkway in front, where only people walk. "street" and "parking" have a road or lane behind it,
    "walkway" has lawn and trees, "square" a house front and paving. Another `rng` gives another place of that sort.
    """
    picture = np.zeros((HEIGHT, WIDTH, 3))
    picture[:] = tint(rng, 120, 150)
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
    picture[_WALKWAY_TOP:] = np.where(tiles[..., np.newaxis], 0.82, 1.0) * tint(rng, 125, 155, 6)
    picture += 5.0 * _texture(rng, 12, 16) + 4.0 * _texture(rng, 60, 80) + rng.normal(0.0, 3.0, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)
