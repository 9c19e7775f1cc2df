"""A video's clock: where it breaks off, and all presentation times on one clock.

Files joined byte by byte, recorders that pause, clocks that wrap: the frames are all there, one after the other, but
their times start again, jump, or repeat. Frames are numbered in the order of the file, so each part of a video is put
behind the one before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FAR_SECONDS = 5.0
"""Least seconds of a jump ahead that counts as another part, and not as lost frames or a slow rate."""

FAR_STEPS = 32
"""Least length of such a jump in steps between two frames; both limits must be passed."""

MOST_REORDERED = 16
"""Largest number of frames over which a decoder reorders."""

BEFORE_A_SEAM = 2
"""Number of packets before a seam whose counters FFmpeg may find broken only because another part follows."""


@dataclass(frozen=True)
class Seam:
    """A place where a video's clock breaks off.

    Attributes:
        packet: first packet behind it, in the order of the file.
        jump: seconds that the clock is ahead of where it should be; negative where it goes back, 0 where parts follow
            each other exactly.
        is_key: the packet behind it can be decoded without others.
        is_joint: the counters of a transport stream break there, so that what follows depends on nothing before it.
    """

    packet: int
    jump: float
    is_key: bool
    is_joint: bool = False


def find_seams(
    stamps: np.ndarray, keys: np.ndarray, doubtful: np.ndarray, is_sound: bool, tick: float
) -> tuple[Seam, ...]:
    """Find where the clock goes back, where it jumps far ahead, and where another part follows exactly.

    A key packet is shown after all packets stored before it; if its stamp is not the largest so far, the clock goes
    back. Other packets are reordered, but none is shown much earlier than the key packet before the last one.

    Args:
        stamps: presentation times in the order of the file, (packets,) int64.
        keys: packets that can be decoded without others, (packets,) bool.
        doubtful: packets whose transport-stream counters are broken, (packets,) bool; shortly before a key packet this
            means that another part begins there.
        is_sound: True if no packet is missing; then a jump ahead at a packet that is no key packet is just a pause.
        tick: seconds of one unit of the stamps.

    Returns:
        Seams in the order of the file; none for fewer than two packets.
    """
    if len(stamps) < 2:
        return ()
    step = _median_step([stamps])
    far = max(FAR_SECONDS / tick, FAR_STEPS * step)
    places = _suspects(stamps, keys, doubtful, far)
    highest, *tops = np.maximum.reduceat(stamps, [0, *places]).tolist()
    found, last_key = list[Seam](), int(stamps[0])
    floor = last_key - FAR_STEPS * step  # no packet but one of another part is shown before
    for place, top in zip(places, tops, strict=True):
        stamp, is_key = int(stamps[place]), bool(keys[place])
        ahead, is_joint = stamp - highest, bool(doubtful[max(0, place - BEFORE_A_SEAM) : place].any())
        if is_key:
            breaks_off = ahead <= 0 or ahead > far or is_joint
        else:
            goes_back = stamp < floor or (is_joint and -ahead > MOST_REORDERED * step)
            breaks_off = goes_back or (ahead > far and not is_sound)
        if breaks_off:
            jump = 0.0 if 0 < ahead < 1.5 * step else (ahead - step) * tick
            found.append(Seam(place, jump, is_key, is_joint))
            highest, floor, last_key = top, stamp - FAR_STEPS * step, stamp
        else:
            highest = max(highest, top)
            floor, last_key = (last_key, stamp) if is_key else (floor, last_key)
    return tuple(found)


def _suspects(stamps: np.ndarray, keys: np.ndarray, doubtful: np.ndarray, far: float) -> list[int]:
    """Return the packets, ascending, at which the clock may break off: all key packets, and others that stand out."""
    starts = np.flatnonzero(keys)
    earlier = np.searchsorted(starts, np.arange(len(stamps))) - 2  # the key packet before the last one
    suspect = keys.copy()
    if len(starts):
        suspect |= (earlier >= 0) & (stamps < stamps[starts[np.maximum(earlier, 0)]])
    suspect[1:] |= np.abs(np.diff(stamps)) > far
    for behind in range(1, BEFORE_A_SEAM + 1):
        suspect[behind:] |= doubtful[:-behind]
    return [int(place) for place in np.flatnonzero(suspect) if place]


def _median_step(parts: Sequence[np.ndarray]) -> int:
    """Return the median time between two frames shown one after the other; 1 where there are none."""
    steps: np.ndarray = np.concatenate([np.diff(np.sort(part)) for part in parts])
    steps = steps[steps > 0]
    return max(1, int(np.median(steps))) if len(steps) else 1


def on_one_clock(stamps: np.ndarray, seams: Sequence[Seam]) -> np.ndarray:
    """Return the stamps with each part one step behind the part before it, (packets,) int64."""
    if not seams:
        return stamps
    parts = np.split(stamps, [seam.packet for seam in seams])
    step, shifted = _median_step(parts), [parts[0]]
    for part in parts[1:]:
        shifted.append(part + (int(shifted[-1].max()) + step - int(part.min())))
    return np.concatenate(shifted)
