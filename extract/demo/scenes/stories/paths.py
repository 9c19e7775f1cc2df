"""Common parts of all stories: size and stride of figures, and tracks from their positions in each frame."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vadprobe.extract.demo.scenes.figures import STRIDE
from vadprobe.extract.demo.scenes.places import tint
from vadprobe.extract.demo.scenes.sprites import WIDTH, Sprite, Track


def walk_poses(travelled: np.ndarray, size: float) -> np.ndarray:
    """Return the number of the pose in each frame, (n_frames,) int, from the distance travelled in pixels."""
    return (travelled / (0.1 * size)).astype(int) % STRIDE


def size_at(y: int) -> float:
    """Return the height in pixels of a person whose feet are at `y` on the walkway."""
    return 64 + 0.55 * (y - 160)


def choose_clothes(rng: np.random.Generator) -> np.ndarray:
    """Choose the colours of shirt and trousers, (2, 3)."""
    return np.stack([tint(rng, 55, 190, 30), tint(rng, 35, 80, 12)])


def track(
    sprites: Sequence[Sprite], pose: np.ndarray, x: np.ndarray, y: np.ndarray | float, role: str = "", colour: str = ""
) -> Track:
    """Return a track with whole pixels; `y` may be one number for all frames."""
    return Track(tuple(sprites), pose, np.rint(x).astype(int), np.rint(y + 0.0 * x).astype(int), role, colour)


def only_while(way: Track, shown: np.ndarray) -> Track:
    """Return the track without the frames where `shown` (n_frames,) is False."""
    return replace(way, pose=np.where(shown, way.pose, -1))


def to_and_fro(
    frames: np.ndarray, start: int, stop: int, speed: float, reach: float, mirrored: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return x of something that enters at one side, crosses the picture as often as there is time, and leaves.

    Args:
        frames: (n_frames,) frame numbers.
        start: first frame of the crossing.
        stop: frame after the last.
        speed: pixels a frame, about; the crossings are fitted into `[start, stop)`.
        reach: pixels beyond the edge where it begins and ends.
        mirrored: begin at the right.

    Returns:
        x (n_frames,) float, and (n_frames,) bool, True where it moves to the right.
    """
    passes = max(1, round((stop - start) * speed / (WIDTH + 2 * reach)))
    turns = [-reach, *([WIDTH - 0.15 * WIDTH, 0.15 * WIDTH] * passes)[: passes - 1]]
    turns.append(WIDTH + reach if passes % 2 else -reach)
    x = np.interp(frames, np.linspace(start, stop - 1, len(turns)), turns)
    forward = np.gradient(x) >= 0
    return (WIDTH - x, ~forward) if mirrored else (x, forward)
