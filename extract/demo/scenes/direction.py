"""Scripts of shots in version 2 of the world: what happens, when, in which weather, and among how many people."""

from collections.abc import Sequence

import numpy as np

from vadprobe.extract.demo.scenes.shot import Happening, Shot

RATES = (12, 15, 25, 30)
"""Frames per second that cameras have."""

_NEEDS_ROAD = ("Delivery",)
_LONGER = ("Loitering", "AbandonedObject")
_HARMLESS_COUNTS = (0.25, 0.45, 0.3)  # of no, one and two look-alikes in a video
_TRIES = 12
_CUT = 0.6  # part of an interval that an end of a shot may cut away


def write_shot(
    rng: np.random.Generator,
    *,
    place: str,
    n_frames: int,
    fps: int,
    kind: str | None,
    look_alikes: Sequence[str],
    n_harmless: int | None = None,
    mixed: bool = False,
) -> Shot:
    """Write the script of a shot.

    Look-alikes never overlap each other in time; one for which there is no room is left out.

    Args:
        rng: source of chance.
        place: one of `PLACES`.
        n_frames: length.
        fps: frames per second.
        kind: the kind of its anomalies, or None for a normal shot.
        look_alikes: the harmless kinds to choose from.
        n_harmless: number of harmless happenings that are tried; by default zero, one or two at random.
        mixed: with True, look-alikes may overlap anomalies, and anomalies may begin before the shot or end after it,
            so that neither a look-alike nor the position in the video predicts an anomaly. With False, both are
            whole and apart from each other.
    """
    intervals = place_intervals(rng, n_frames, fps, 4.0 if kind in _LONGER else 2.0, mixed=mixed) if kind else ()
    road = place in ("street", "parking")
    kinds = [one for one in look_alikes if road or one not in _NEEDS_ROAD]
    count = int(rng.choice(3, p=_HARMLESS_COUNTS)) if n_harmless is None else n_harmless
    harmless: list[Happening] = []
    for _ in range(count if kinds else 0):
        taken = [(one.start, one.stop) for one in harmless] + ([] if mixed else [*intervals])
        found = _free_interval(rng, n_frames, fps, taken)
        chosen = str(rng.choice(kinds))
        if found is not None:
            harmless.append(Happening(chosen, *found))
    return Shot(
        place,
        n_frames,
        fps,
        kind,
        intervals,
        tuple(sorted(harmless, key=lambda one: one.start)),
        weather=str(rng.choice(("clear", "dusk", "rain"), p=(0.6, 0.22, 0.18))),
        shake=float(rng.uniform(0.5, 2.5)) if rng.random() < 0.3 else 0.0,
        crowd=int(rng.integers(1, 6)),
        cars=int(rng.integers(0, 4)) if road else 0,
        faintness=float(rng.uniform(0.1, 0.45)) if rng.random() < 0.4 else 0.0,
        occluders=int(rng.choice(3, p=(0.45, 0.35, 0.2))),
        version=2,
    )


def place_intervals(
    rng: np.random.Generator, n_frames: int, fps: int, shortest: float, longest: float = 6.0, *, mixed: bool = False
) -> tuple[tuple[int, int], ...]:
    """Choose one to three intervals of `shortest` to `longest` seconds, apart from each other, at uniform places.

    With `mixed`, an end of the shot may cut off up to six tenths of the first or the last interval. If all had to be
    whole, they would lie in the middle of a short shot more often than at its ends.
    """
    count = int(rng.integers(1, 4))
    while count > 1 and n_frames // count < 2 * shortest * fps:
        count -= 1
    room = n_frames // count
    lengths = [min(int(rng.uniform(shortest, longest) * fps), room // 2) for _ in range(count)]
    starts = []
    for index, length in enumerate(lengths):
        cut = int(_CUT * length) if mixed else 0
        first, last = (-cut if index == 0 else 0), room - length + (cut if index == count - 1 else 0)
        starts.append(index * room + int(rng.integers(first, last)))
    return tuple((max(start, 0), min(start + length, n_frames)) for start, length in zip(starts, lengths, strict=True))


def _free_interval(
    rng: np.random.Generator, n_frames: int, fps: int, taken: Sequence[tuple[int, int]]
) -> tuple[int, int] | None:
    """Choose frames `[start, stop)` of 2.5 to 7 seconds apart from those taken; None if no place was found."""
    for _ in range(_TRIES):
        length = min(int(rng.uniform(2.5, 7.0) * fps), n_frames // 2)
        start = int(rng.integers(0, n_frames - length))
        if all(start >= stop or start + length <= begin for begin, stop in taken):
            return start, start + length
    return None
