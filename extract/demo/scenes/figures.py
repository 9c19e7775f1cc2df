"""Sprites of people, vehicles, a suitcase and clouds."""

from typing import NamedTuple

import numpy as np

from vadprobe.extract.demo.scenes.sprites import Drawing, Sprite

STRIDE = 8  # poses in one stride
GREY = np.array([1.0, 1.0, 1.0])
_SKIN, _HAIR = np.array([196.0, 156.0, 128.0]), np.array([52.0, 42.0, 36.0])


class Pose(NamedTuple):
    """Pose of a figure: angle of the stride, its width, tilt forward, height of the hands (0 to 1), and its shadow."""

    turn: float
    swing: float = 0.6
    lean: float = 0.0
    raised: float = 0.0
    shadow: float = 0.4


WALK = tuple(Pose(2 * np.pi * part / STRIDE) for part in range(STRIDE))
RUN = tuple(Pose(pose.turn, 1.3, 0.5, 0.35) for pose in WALK)


def person(size: float, clothes: np.ndarray, pose: Pose, mirrored: bool, load: np.ndarray | None = None) -> Sprite:
    """Draw a figure `size` pixels tall. `clothes` (2, 3): shirt, trousers; `load`: colour of a bag."""
    drawing = Drawing(size, size)
    hip, neck = (0.45 * size, 0.54 * size), ((0.45 + 0.3 * pose.lean) * size, 0.24 * size)
    step, lift = 0.3 * size * pose.swing * np.sin(pose.turn), 0.1 * size * pose.swing * np.cos(pose.turn)
    drawing.stroke((0.25 * size, 0.97 * size), (0.65 * size, 0.97 * size), 0.03 * size, 0 * GREY, pose.shadow, 3.0)
    for side, shade in ((-1, 0.75), (1, 1.0)):
        drawing.stroke(
            hip, (hip[0] + side * step, 0.95 * size - max(0.0, -side * lift)), 0.045 * size, clothes[1] * shade
        )
        if load is not None and side == 1:
            drawing.box(0.38 * size, 0.5 * size, 0.54 * size, 0.8 * size, load)
        hand = (neck[0] - 0.8 * side * step, (0.52 - 0.4 * pose.raised) * size)
        drawing.stroke((neck[0], neck[1] + 0.03 * size), hand, 0.035 * size, clothes[0] * shade * 0.9)
    drawing.stroke(hip, (neck[0], neck[1] + 0.04 * size), 0.085 * size, clothes[0])
    head = (neck[0] + 0.02 * size, 0.1 * size)
    drawing.stroke(head, head, 0.075 * size, _HAIR)
    drawing.stroke((head[0] + 0.02 * size, 0.12 * size), (head[0] + 0.02 * size, 0.12 * size), 0.055 * size, _SKIN)
    return drawing.sprite(mirrored)


def lying(size: float, clothes: np.ndarray, mirrored: bool) -> Sprite:
    """Draw a person `size` pixels tall who lies on the ground. `clothes` as for `person`."""
    drawing = Drawing(0.3 * size, 1.1 * size)
    ground = 0.24 * size
    drawing.stroke((0.1 * size, ground), (size, ground), 0.04 * size, 0 * GREY, 0.4, 3.0)
    drawing.stroke((0.55 * size, 0.17 * size), (0.97 * size, 0.22 * size), 0.05 * size, clothes[1] * 0.75)
    drawing.stroke((0.55 * size, 0.17 * size), (0.88 * size, 0.12 * size), 0.05 * size, clothes[1])
    drawing.stroke((0.3 * size, 0.18 * size), (0.5 * size, 0.25 * size), 0.035 * size, clothes[0] * 0.8)
    drawing.stroke((0.28 * size, 0.16 * size), (0.55 * size, 0.17 * size), 0.085 * size, clothes[0])
    drawing.stroke((0.14 * size, 0.15 * size), (0.14 * size, 0.15 * size), 0.075 * size, _HAIR)
    drawing.stroke((0.17 * size, 0.17 * size), (0.17 * size, 0.17 * size), 0.05 * size, _SKIN)
    return drawing.sprite(mirrored)


def sitting(size: float, clothes: np.ndarray, mirrored: bool) -> Sprite:
    """Draw a person `size` pixels tall who sits. `clothes` as for `person`."""
    drawing = Drawing(0.76 * size, 0.8 * size)
    hip, knee, neck = (0.32 * size, 0.5 * size), (0.58 * size, 0.49 * size), (0.3 * size, 0.22 * size)
    for foot, shade in ((0.56, 0.75), (0.64, 1.0)):
        drawing.stroke(hip, knee, 0.055 * size, clothes[1] * shade)
        drawing.stroke(knee, (foot * size, 0.73 * size), 0.045 * size, clothes[1] * shade)
    drawing.stroke(hip, neck, 0.085 * size, clothes[0])
    drawing.stroke((neck[0], neck[1] + 0.05 * size), (0.48 * size, 0.44 * size), 0.035 * size, clothes[0] * 0.85)
    drawing.stroke((neck[0] + 0.02 * size, 0.09 * size), (neck[0] + 0.02 * size, 0.09 * size), 0.075 * size, _HAIR)
    drawing.stroke((neck[0] + 0.05 * size, 0.11 * size), (neck[0] + 0.05 * size, 0.11 * size), 0.055 * size, _SKIN)
    return drawing.sprite(mirrored)


def vehicle(length: float, paint: np.ndarray, mirrored: bool, van: bool) -> Sprite:
    """Draw a car or van `length` pixels long."""
    drawing, glass = Drawing(0.6 * length, length), np.array([58.0, 70.0, 82.0])
    drawing.stroke((0.08 * length, 0.56 * length), (0.92 * length, 0.56 * length), 0.03 * length, 0 * GREY, 0.5, 4.0)
    if van:
        drawing.box(0.03 * length, 0.04 * length, 0.78 * length, 0.48 * length, paint)
        drawing.stroke((0.7 * length, 0.2 * length), (0.8 * length, 0.2 * length), 0.1 * length, paint)
        drawing.box(0.72 * length, 0.13 * length, 0.88 * length, 0.26 * length, glass)
    else:
        drawing.stroke((0.34 * length, 0.24 * length), (0.62 * length, 0.24 * length), 0.12 * length, paint * 0.9)
        drawing.box(0.3 * length, 0.16 * length, 0.46 * length, 0.28 * length, glass)
        drawing.box(0.5 * length, 0.16 * length, 0.66 * length, 0.28 * length, glass)
    drawing.stroke((0.13 * length, 0.38 * length), (0.87 * length, 0.38 * length), 0.11 * length, paint)
    drawing.box(0.03 * length, 0.42 * length, 0.97 * length, 0.44 * length, paint * 0.6)
    drawing.box(0.93 * length, 0.33 * length, 0.98 * length, 0.38 * length, np.array([250.0, 240.0, 190.0]))
    for x in (0.22 * length, 0.77 * length):
        drawing.stroke((x, 0.49 * length), (x, 0.49 * length), 0.09 * length, 28 * GREY)
        drawing.stroke((x, 0.49 * length), (x, 0.49 * length), 0.04 * length, 150 * GREY)
    return drawing.sprite(mirrored)


def suitcase(size: float, colour: np.ndarray) -> Sprite:
    """Draw a case `size` pixels high that stands on the ground."""
    drawing = Drawing(size, 1.15 * size)
    drawing.stroke((0.2 * size, 0.96 * size), (size, 0.96 * size), 0.04 * size, 0 * GREY, 0.5, 4.0)
    drawing.stroke((0.42 * size, 0.1 * size), (0.72 * size, 0.1 * size), 0.05 * size, 40 * GREY)
    drawing.box(0.12 * size, 0.16 * size, 1.02 * size, 0.95 * size, colour)
    for x in (0.3 * size, 0.78 * size):
        drawing.box(x, 0.16 * size, x + 0.07 * size, 0.95 * size, colour * 0.55)
    return drawing.sprite()


def puff(radius: float, colour: np.ndarray, opacity: float) -> Sprite:
    """Draw a soft round cloud."""
    drawing = Drawing(2 * radius, 2 * radius)
    drawing.stroke((radius, radius), (radius, radius), 0.55 * radius, colour, opacity, 0.9 * radius)
    return drawing.sprite()
