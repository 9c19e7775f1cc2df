"""The values that every format holds, the patterns in which it is read, and the base class of formats."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vadprobe.store.format.schema import PARTITION_ROWS

Heads = list[tuple[int, int]]


@dataclass(frozen=True)
class Pattern:
    """Parts to read: rows, and heads of each row; None for all heads."""

    rows: np.ndarray
    heads: Heads | None


def patterns(sizes: argparse.Namespace) -> dict[str, Pattern]:
    """Return the five patterns that every format reads."""
    generator = np.random.default_rng(1)
    every = np.arange(sizes.clips)
    grid = [(block, head) for block in range(sizes.blocks) for head in range(sizes.heads)]
    five = [grid[number] for number in generator.choice(len(grid), min(5, len(grid)), replace=False)]
    scattered = np.sort(generator.choice(sizes.clips, min(32, sizes.clips), replace=False))
    video = sizes.clips // sizes.video_clips // 2 * sizes.video_clips
    return {
        "256 whole rows": Pattern(every[PARTITION_ROWS : 2 * PARTITION_ROWS], None),
        "32 scattered rows, all heads": Pattern(scattered, None),
        "one head, all rows": Pattern(every, five[:1]),
        "five heads, all rows": Pattern(every, five),
        "one video, all heads": Pattern(every[video : video + sizes.video_clips], None),
    }


def make_values(sizes: argparse.Namespace, partition: int) -> np.ndarray:
    """Return heavy-tailed float32 values of a partition, (256, blocks, heads, head_dim), the low 16 bits zero."""
    generator = np.random.default_rng(partition)
    shape = (PARTITION_ROWS, sizes.blocks, sizes.heads, sizes.head_dim)
    values = generator.standard_t(4, size=shape).astype(np.float32)
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def narrow(values: np.ndarray) -> np.ndarray:
    """Return the bfloat16 bits of carried values, uint16."""
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def widen(bits: np.ndarray) -> np.ndarray:
    """Return the float32 values of bfloat16 bits."""
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


class Format:
    """A way to keep features in files: `write` is given partition by partition, `read` returns float32."""

    needs: tuple[str, ...] = ()
    closes_before_eviction = False

    def __init__(self, folder: Path, sizes: argparse.Namespace) -> None:
        self.folder, self.sizes = folder, sizes

    def write(self, partition: int, values: np.ndarray) -> None:
        """Write one partition."""
        raise NotImplementedError

    def finish(self) -> None:
        """Finish after the last partition."""

    def open(self) -> None:
        """Open the files, as a user does once before reading."""

    def read(self, wanted: Pattern) -> np.ndarray:
        """Read the parts of a pattern: (n, blocks, heads, head_dim), or (n, k, head_dim) for k heads."""
        raise NotImplementedError
