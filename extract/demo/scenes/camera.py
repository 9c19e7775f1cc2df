"""The frames of a shot: its cast on a background, under the light and the noise of a camera."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from vadprobe.extract.demo.scenes.places import draw_background
from vadprobe.extract.demo.scenes.shot import Shot
from vadprobe.extract.demo.scenes.sprites import HEIGHT, WIDTH, Sprite, Track, paint
from vadprobe.extract.demo.scenes.stories.cast import cast
from vadprobe.extract.demo.scenes.stories.first_anomalies import blast_frames
from vadprobe.extract.demo.scenes.things import foreground
from vadprobe.extract.demo.scenes.weather import Weather

_BACKGROUND = 1000  # of the seeds: no video of a camera has this number


class Film:
    """A shot ready to be drawn, frame by frame in any order.

    Passers-by, happenings and the noise of the camera come from generators of their own, so a shot without its
    intervals has the same passers-by and noise.

    Args:
        shot: the script. In version 1, something of its kind is seen in every frame of an interval; in version 2 it
            may be hidden, or out of the picture, for moments.
        seed: four numbers, in a set the version, the set's seed, the camera and the video; the first three decide the
            background.
    """

    def __init__(self, shot: Shot, seed: Sequence[int]) -> None:
        self.shot = shot
        self.background = draw_background(shot.place, np.random.default_rng([*seed[:3], _BACKGROUND]))
        crowd, story, camera = np.random.default_rng([*seed]).spawn(3)
        self.tracks: tuple[Track, ...] = cast(shot, crowd, story)
        self._gain, self._glare = _light(shot, camera)
        noise = camera.normal(0.0, camera.uniform(2.5, 5.0), (HEIGHT + 32, WIDTH + 32, 3))
        self._grain = noise.round().astype(np.int16)
        self._offsets = camera.integers(32, size=(shot.n_frames, 2))
        # Version 1 draws no more random numbers; those that version 2 adds come after, so its videos stay the same.
        self._weather = Weather(shot, camera)
        self._front: list[tuple[Sprite, int, int]] = [foreground(camera) for _ in range(shot.occluders)]

    def frames(self, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """Yield the frames of these numbers, each (HEIGHT, WIDTH, 3) uint8 RGB.

        A frame does not depend on which others are asked for.
        """
        levels = np.arange(256.0)
        for frame in indices:
            canvas = self.background.copy()
            for track in self.tracks:
                if track.pose[frame] >= 0:
                    paint(canvas, track.sprites[track.pose[frame]], int(track.x[frame]), int(track.y[frame]))
            for sprite, x, y in self._front:
                paint(canvas, sprite, x, y)
            canvas = self._weather.seen_through(canvas, frame)
            seen = ((levels + (252.0 - levels) * self._glare[frame]) * self._gain[frame]).astype(np.int16)
            down, right = self._offsets[frame]
            noisy = seen[canvas] + self._grain[down : down + HEIGHT, right : right + WIDTH]
            yield np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def _light(shot: Shot, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the camera's gain (about 1, drifting slowly) and the glare of blasts (0 to 1), each (n_frames,) float."""
    frames = np.arange(shot.n_frames)
    swell = np.sin(2 * np.pi * (frames / (shot.fps * rng.uniform(15, 50)) + rng.random()))
    gain = rng.uniform(0.92, 1.05) + rng.uniform(0.02, 0.06) * swell + rng.normal(0, 0.004, shot.n_frames)
    glare, brightest = np.zeros(shot.n_frames), 0.95 if shot.version == 1 else 0.45
    for start, stop in shot.intervals if shot.kind == "Explosion" else ():
        for blast in blast_frames(shot, start, stop):
            fading = np.exp(-np.arange(stop - blast) / (0.45 * shot.fps))
            glare[blast:stop] = np.maximum(glare[blast:stop], brightest * fading)
    return gain, glare
