"""Sprites of animals, bicycles, what people use, and what stands between the camera and the walkway."""

import itertools

import numpy as np

from vadprobe.extract.demo.scenes.figures import GREY
from vadprobe.extract.demo.scenes.sprites import HEIGHT, Drawing, Sprite

_WOOD, _METAL = np.array([118.0, 88.0, 58.0]), np.array([150.0, 152.0, 156.0])


def dog(length: float, coat: np.ndarray, turn: float, mirrored: bool, leash: float = 0.0) -> Sprite:
    """Draw a dog `length` pixels long at a part `turn` (radians) of its stride.

    `leash` is the height above the ground, in pixels, of the hand behind the dog that holds its leash; 0: no leash.
    """
    behind = 0.55 * length if leash else 0.0
    height, width = max(0.72 * length, 1.05 * leash), 1.1 * length + behind
    drawing, ground = Drawing(height, width), height - 1
    back = ground - 0.42 * length
    drawing.stroke((behind + 0.15 * length, ground), (width - 0.2 * length, ground), 0.03 * length, 0 * GREY, 0.4, 3.0)
    if leash:
        drawing.stroke((behind + 0.8 * length, back), (2.0, ground - leash), 0.7, 60 * GREY)
    for place, phase in ((0.25, 0.0), (0.32, 1.0), (0.72, 1.0), (0.8, 0.0)):
        hip, step = behind + place * length, 0.12 * length * np.sin(turn + np.pi * phase)
        drawing.stroke((hip, back), (hip + step, ground - 1), 0.035 * length, coat * 0.75)
    drawing.stroke((behind + 0.24 * length, back), (behind + 0.78 * length, back), 0.1 * length, coat)
    wag = 0.06 * length * np.sin(2 * turn)
    drawing.stroke(
        (behind + 0.2 * length, back), (behind + 0.05 * length, back - 0.16 * length + wag), 0.03 * length, coat
    )
    head = (behind + 0.92 * length, back - 0.15 * length)
    drawing.stroke((behind + 0.8 * length, back), head, 0.07 * length, coat)
    drawing.stroke(head, (head[0] + 0.1 * length, head[1] + 0.04 * length), 0.06 * length, coat * 0.9)
    return drawing.sprite(mirrored)


def _ring(drawing: Drawing, x: float, y: float, radius: float, pen: float) -> None:
    corners = [(x + radius * np.cos(angle), y + radius * np.sin(angle)) for angle in np.linspace(0, 2 * np.pi, 11)]
    for start, stop in itertools.pairwise(corners):
        drawing.stroke(start, stop, pen, 30 * GREY)


def bicycle_on(drawing: Drawing, length: float, left: float, colour: np.ndarray) -> None:
    """Draw a bicycle `length` pixels long on a drawing, its wheels at the bottom, from `left` on."""
    ground, wheel = drawing.height - 1, 0.24 * length
    hubs = (left + wheel, ground - wheel), (left + length - wheel, ground - wheel)
    for x, y in hubs:
        _ring(drawing, x, y, wheel - 1, 0.02 * length)
    pedals, seat = (left + 0.46 * length, ground - wheel), (left + 0.38 * length, ground - 0.52 * length)
    handle = (left + 0.7 * length, ground - 0.56 * length)
    for start, stop in ((hubs[0], seat), (seat, pedals), (hubs[0], pedals), (pedals, handle), (seat, handle)):
        drawing.stroke(start, stop, 0.026 * length, colour)
    drawing.stroke(hubs[1], handle, 0.026 * length, colour)
    drawing.stroke((seat[0] - 3, seat[1]), (seat[0] + 4, seat[1]), 0.03 * length, 30 * GREY)


def bench(width: float) -> Sprite:
    """Draw a bench seen from the front."""
    drawing = Drawing(0.5 * width, width)
    for x in (0.12 * width, 0.84 * width):
        drawing.box(x, 0.2 * width, x + 0.05 * width, 0.48 * width, 60 * GREY)
    drawing.box(0.04 * width, 0.02 * width, 0.96 * width, 0.15 * width, _WOOD)
    drawing.box(0.02 * width, 0.22 * width, 0.98 * width, 0.3 * width, _WOOD * 1.15)
    return drawing.sprite()


def ladder(height: float) -> Sprite:
    """Draw a ladder that leans on a wall."""
    drawing = Drawing(height, 0.3 * height)
    for x in (0.06, 0.2):
        drawing.stroke((x * height, height - 2), ((x + 0.05) * height, 2), 0.012 * height, _METAL)
    for step in np.arange(0.08, 0.98, 0.09):
        x = 0.06 + 0.05 * (1 - step)
        drawing.stroke((x * height, step * height), ((x + 0.14) * height, step * height), 0.01 * height, _METAL)
    return drawing.sprite()


def umbrella(size: float, colour: np.ndarray) -> Sprite:
    """Draw an open umbrella to be held over a person `size` pixels tall; its handle ends at the bottom."""
    drawing, middle = Drawing(0.62 * size, 0.9 * size), 0.45 * size
    drawing.stroke((middle, 0.2 * size), (middle, 0.61 * size), 0.012 * size, 50 * GREY)
    for part in np.linspace(-1, 1, 9):
        top = (middle, 0.04 * size)
        edge = (middle + 0.38 * size * part, 0.26 * size - 0.06 * size * (1 - abs(part)))
        drawing.stroke(top, edge, 0.055 * size, colour * (0.8 + 0.2 * abs(part)))
    return drawing.sprite()


def pram(size: float, colour: np.ndarray, mirrored: bool) -> Sprite:
    """Draw a pram beside a person `size` pixels tall."""
    drawing = Drawing(0.62 * size, 0.75 * size)
    ground = drawing.height - 1
    drawing.stroke((0.12 * size, 0.1 * size), (0.3 * size, 0.32 * size), 0.015 * size, 60 * GREY)
    drawing.stroke((0.3 * size, 0.34 * size), (0.6 * size, 0.34 * size), 0.1 * size, colour)
    drawing.stroke((0.5 * size, 0.2 * size), (0.58 * size, 0.3 * size), 0.11 * size, colour * 0.8)
    for x in (0.32 * size, 0.58 * size):
        drawing.stroke((x, ground - 0.07 * size), (x, ground - 0.07 * size), 0.065 * size, 35 * GREY)
        drawing.stroke((x, ground - 0.07 * size), (x, ground - 0.07 * size), 0.03 * size, 160 * GREY)
    return drawing.sprite(mirrored)


def broom(size: float, turn: float) -> Sprite:
    """Draw a broom in the hands of a person `size` pixels tall, at a part `turn` (radians) of its sweep."""
    drawing = Drawing(0.55 * size, 0.8 * size)
    foot = (0.4 * size + 0.22 * size * np.sin(turn), 0.5 * size)
    drawing.stroke((0.4 * size, 0.03 * size), foot, 0.014 * size, _WOOD * 1.3)
    drawing.stroke((foot[0] - 0.09 * size, foot[1]), (foot[0] + 0.09 * size, foot[1]), 0.035 * size, _WOOD * 0.8)
    return drawing.sprite()


def foreground(rng: np.random.Generator) -> tuple[Sprite, int, int]:
    """Draw a post or a bush that hides what passes behind it; return it with its x and y."""
    x = int(rng.uniform(20, 300))
    if rng.random() < 0.5:
        wide = rng.uniform(10, 20)
        drawing = Drawing(HEIGHT, wide + 8)
        drawing.box(3, 0, 3 + wide, HEIGHT, rng.uniform(60, 130) * GREY)
        drawing.box(3 + 0.7 * wide, 0, 3 + wide, HEIGHT, rng.uniform(40, 60) * GREY)
        return drawing.sprite(), x, HEIGHT
    radius = rng.uniform(22, 38)
    drawing = Drawing(1.5 * radius, 3.2 * radius)
    for _ in range(9):
        at = rng.uniform((0.6 * radius, 0.6 * radius), (2.6 * radius, 1.4 * radius))
        leaves = np.array([58.0, 92.0, 50.0]) * rng.uniform(0.7, 1.2)
        drawing.stroke((at[0], at[1]), (at[0], at[1]), 0.42 * radius, leaves)
    return drawing.sprite(), x, HEIGHT + 2
