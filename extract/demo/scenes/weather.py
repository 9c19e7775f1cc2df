"""Dusk, rain and a camera that shakes: what lies between a scene and its picture."""

import numpy as np

from vadprobe.extract.demo.scenes.shot import Shot
from vadprobe.extract.demo.scenes.sprites import HEIGHT, WIDTH

_STREAKS = 90


class Weather:
    """The weather of a shot and the shaking of its camera; version 1 has neither.

    Args:
        shot: the script.
        rng: source of chance.
    """

    def __init__(self, shot: Shot, rng: np.random.Generator) -> None:
        self._tint: np.ndarray | None = None
        if shot.weather == "dusk":
            self._tint = rng.uniform(0.42, 0.6) * np.array([0.95, 0.98, 1.15])
        self._rain = rng.spawn(1)[0] if shot.weather == "rain" else None
        self._drops = np.empty((0, 3))
        if self._rain is not None:
            self._tint = np.full(3, rng.uniform(0.72, 0.85))
            self._drops = self._rain.uniform((0, 0, 7), (WIDTH, HEIGHT, 15), size=(_STREAKS, 3))
            self._fall = self._rain.uniform(0, HEIGHT, size=shot.n_frames)
        self._moved = np.zeros((shot.n_frames, 2), dtype=int)
        if shot.shake:
            seconds = np.arange(shot.n_frames)[:, np.newaxis] / shot.fps
            rates, phases = rng.uniform(3, 16, (2, 3)), rng.uniform(0, 2 * np.pi, (2, 3))
            waves = np.sin(seconds[..., np.newaxis] * rates + phases).mean(-1)
            self._moved = np.rint(2 * shot.shake * waves).astype(int)

    def seen_through(self, canvas: np.ndarray, frame: int) -> np.ndarray:
        """Return a scene (HEIGHT, WIDTH, 3) uint8 as the camera sees it in frame `frame`."""
        down, right = self._moved[frame].tolist()
        if down or right:
            rows = np.clip(np.arange(HEIGHT) + down, 0, HEIGHT - 1)
            columns = np.clip(np.arange(WIDTH) + right, 0, WIDTH - 1)
            canvas = canvas[rows[:, np.newaxis], columns]
        if self._tint is not None:
            canvas = np.minimum(canvas * self._tint, 255.0).astype(np.uint8)
        return self._with_rain(canvas, frame) if self._rain is not None else canvas

    def _with_rain(self, canvas: np.ndarray, frame: int) -> np.ndarray:
        x, y, length = self._drops.T
        top = (y + self._fall[frame]) % HEIGHT
        for step in range(15):
            inside = (step < length) & (top + step < HEIGHT)
            rows, columns = (top + step)[inside].astype(int), ((x - 0.25 * step)[inside] % WIDTH).astype(int)
            canvas[rows, columns] = (canvas[rows, columns] * 0.55 + 95).astype(np.uint8)
        return canvas
