"""Frames of clips, as the extraction asks for them."""

from collections.abc import Iterator, Sequence


def clip_indices(n_frames: int) -> Iterator[Sequence[int]]:
    """Yield sampled frames of consecutive clips of 24, as the extraction asks for them."""
    for start in range(0, n_frames, 24):
        length = min(24, n_frames - start)
        yield [start + (2 * part + 1) * length // 16 for part in range(8)]
