"""The packets of a video: which are there, which are missing, and which frames they give.

A frame's index is its place among the packets' time stamps, so a frame that is lost leaves a gap and the frames after
the damage keep their numbers. Where the container itself is damaged, whole packets are missing; then the regular step
between the stamps tells how many.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vadprobe.extract.video.packets.clocks import Seam

NAMED_SEAMS = 3
"""Largest number of seams that a note names one by one."""


@dataclass(frozen=True)
class PacketTable:
    """The packets of a video in the order of the file; nothing is decoded.

    Attributes:
        container: FFmpeg's name of the format.
        stamps: presentation times on one clock in units of the stream, (packets,) int64; empty where some are missing
            or repeated, and for avi, which stores none.
        keys: packets that can be decoded without others, (packets,) bool.
        shown: packets that give a frame to be seen, (packets,) bool.
        broken: packets that the container itself calls damaged, (packets,) bool.
        fps: average frames per second; 0 where the file does not tell.
        deep_colour: colours have more than 8 bits.
        lost_tail: number of last frames whose index is uncertain because frames shown before them were cut off.
        complaint: the first packet after the place where the container turned out to be damaged; None if it is sound.
        seams: where the clock of the file breaks off; `stamps` go on there.
        reorders: frames may be stored before frames shown earlier.
    """

    container: str
    stamps: np.ndarray
    keys: np.ndarray
    shown: np.ndarray
    broken: np.ndarray
    fps: float
    deep_colour: bool
    lost_tail: int
    complaint: int | None
    seams: tuple[Seam, ...] = ()
    reorders: bool = True

    @property
    def n_frames(self) -> int:
        """Number of frames to be seen, including those that cannot be decoded."""
        return int(self.shown.sum())

    @property
    def starts_with_key(self) -> bool:
        """True if the first frame can be decoded; also where no packet is marked as a key frame."""
        return bool(self.keys[0]) or not self.keys.any()

    @property
    def is_damaged(self) -> bool:
        """True if packets are missing, or may be."""
        return self.complaint is not None or bool(self.broken.any())

    @property
    def joints(self) -> set[int]:
        """Packets that begin another part of a transport stream; they depend on nothing stored before them."""
        return {seam.packet for seam in self.seams if seam.is_joint}

    @property
    def is_cut(self) -> bool:
        """True if a part begins with a frame that depends on others, which are not in the file."""
        return not self.starts_with_key or any(seam.is_joint and not seam.is_key for seam in self.seams)

    def part_starts(self) -> frozenset[int]:
        """Return the stamp of the first frame of each part but the first."""
        edges = [*(seam.packet for seam in self.seams), len(self.stamps)] if len(self.stamps) else []
        return frozenset(int(self.stamps[a:b].min()) for a, b in pairwise(edges))

    def frame_indices(self) -> dict[int, int]:
        """Return the frame index of every time stamp to be seen; empty without usable stamps.

        In a damaged container the index is counted in steps between stamps, so that missing packets have numbers too;
        where the stamps are not regular, only those before the damage are numbered.
        """
        if not len(self.stamps):
            return {}
        stamps = np.sort(self.stamps[self.shown])
        if not self.is_damaged or len(stamps) < 3:
            return {int(stamp): index for index, stamp in enumerate(stamps)}
        steps = np.diff(stamps)
        # A step over missing frames is a multiple; the mean of the others is finer than the rounding of one stamp.
        single = float(steps[steps < 1.5 * np.median(steps)].mean())
        places = (stamps - stamps[0]) / single
        indices = np.round(places).astype(int)
        if np.abs(places - indices).max() > 0.4 or (np.diff(indices) < 1).any():  # a variable rate
            damage = np.flatnonzero(self.broken)[:1].tolist() + ([] if self.complaint is None else [self.complaint])
            later = self.stamps[min(damage) :]
            stamps = stamps[stamps < later.min()] if len(later) else stamps
            indices = np.arange(len(stamps))
        return {int(stamp): int(index) for stamp, index in zip(stamps, indices, strict=True)}

    def n_certain(self, frame_indices: dict[int, int]) -> int:
        """Return how many frames, lost or not, have a certain index."""
        indices = sorted(frame_indices.values())
        return indices[len(indices) - 1 - self.lost_tail] + 1 if len(indices) > self.lost_tail else 0

    def after_gaps(self, frame_indices: dict[int, int]) -> set[int]:
        """Return the packets before which other packets may be missing, in the order of the file."""
        indices = np.array([frame_indices.get(int(stamp), -1) for stamp in self.stamps])
        present = np.unique(indices[(indices >= 0) & (indices < self.n_certain(frame_indices))])
        # A frame may be stored before frames shown earlier; by how many places at most:
        ahead = int((np.maximum.accumulate(indices) - indices).max())
        found: set[int] = set()
        for gap in np.flatnonzero(np.diff(present) > 1):
            # So a missing frame was stored after all that are that much earlier, before all that are that much later.
            earlier = np.flatnonzero(indices <= present[gap] - ahead)
            later = np.flatnonzero(indices >= present[gap + 1] + ahead)
            first = int(earlier[-1]) + 1 if len(earlier) else 0
            found.update(range(first, int(later[0]) + 1 if len(later) else len(indices)))
        return found

    def note(self) -> str:
        """Return a sentence that names the places where the clock breaks off; "" if there are none."""
        if not self.seams:
            return ""
        places = [f"{_tell(seam)} at frame {int(self.shown[: seam.packet].sum())}" for seam in self.seams[:NAMED_SEAMS]]
        more = f", and {len(self.seams) - NAMED_SEAMS} more" if len(self.seams) > NAMED_SEAMS else ""
        hidden = int((~self.shown).sum())
        left_out = f"; the container marks {hidden} frames as not to be shown" if hidden else ""
        return f"joined from parts: {', '.join(places)}{more}; frames are numbered in the order of the file{left_out}"


def _tell(seam: Seam) -> str:
    if not seam.jump:
        return "another part follows"
    return f"the clock {'jumps ahead' if seam.jump > 0 else 'goes back'} by {abs(seam.jump):.4g} s"
