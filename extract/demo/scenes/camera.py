"""The frames of a shot: sprites on a background, under the light and the noise of a camera."""

from collections.abc import Iterator

import numpy as np

from vadprobe.extract.demo.scenes.shot import Shot
from vadprobe.extract.demo.scenes.sprites import HEIGHT, WIDTH, Track, paint
from vadprobe.extract.demo.scenes.stories import STORIES, blast_frames, road_car, walker


def _tracks(shot: Shot, crowd: np.random.Generator, story: np.random.Generator) -> list[Track]:
    """Return all that moves, from the back of the picture to the front; smoke is in front of everything."""
    tracks = [walker(crowd, shot) for _ in range(crowd.integers(3, 6))]
    if shot.place in ("street", "parking"):
        tracks += [road_car(crowd, shot) for _ in range(2)]
    happening = [track for start, stop in shot.intervals for track in STORIES[str(shot.kind)](story, shot, start, stop)]
    if shot.kind == "Explosion":
        return sorted(tracks, key=lambda track: track.y[0]) + happening
    return sorted(tracks + happening, key=lambda track: track.y[0])


def _light(shot: Shot, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the camera's gain (about 1, with a slow drift) and the glare of blasts (0 to 1), each (n_frames,)."""
    frames = np.arange(shot.n_frames)
    swell = np.sin(2 * np.pi * (frames / (shot.fps * rng.uniform(15, 50)) + rng.random()))
    gain = rng.uniform(0.92, 1.05) + rng.uniform(0.02, 0.06) * swell + rng.normal(0, 0.004, shot.n_frames)
    glare = np.zeros(shot.n_frames)
    for start, stop in shot.intervals if shot.kind == "Explosion" else ():
        for blast in blast_frames(shot, start, stop):
            fading = np.exp(-np.arange(stop - blast) / (0.45 * shot.fps))
            glare[blast:stop] = np.maximum(glare[blast:stop], 0.95 * fading)
    return gain, glare


def draw_frames(shot: Shot, background: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the frames of a video, each (HEIGHT, WIDTH, 3) uint8 RGB.

    The same arguments (`rng` in the same state) give the same bytes. Who walks by, what happens and the noise
    come from three generators spawned from `rng`, so a shot without its intervals has the same passers-by and noise.

    Args:
        shot: the script; in each of its intervals, something of its kind is seen in every frame.
        background: (HEIGHT, WIDTH, 3) uint8 from `draw_background`.
        rng: source of chance; it must be able to spawn.
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
                paint(canvas, track.sprites[track.pose[frame]], int(track.x[frame]), int(track.y[frame]))
        seen = ((levels + (252.0 - levels) * glare[frame]) * gain[frame]).astype(np.int16)
        noisy = seen[canvas] + grain[down : down + HEIGHT, right : right + WIDTH]
        yield np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)
