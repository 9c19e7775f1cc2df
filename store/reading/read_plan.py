"""Plan of a read: the chunks with the wanted parts of rows, the byte ranges to request, and where the values go."""

from collections.abc import Iterable, Iterator, Sequence
from math import prod

from vadprobe.store.format.shard_format import Chunk
from vadprobe.store.reading.byte_sources import ByteSource
from vadprobe.store.reading.shard_layout import ShardLayout

Span = tuple[int, int, int]
"""(start in a row of the chunk, count, start in a row of the result), all counted in values."""


def spans_of(layout: ShardLayout, parts: Sequence[tuple[int, ...]]) -> dict[int, list[Span]]:
    """Return, for each inner chunk that is needed, which of its values go where in a row of the result.

    Args:
        layout: of the array.
        parts: of a row, each by its leading indices; they are of one size.

    Returns:
        Spans by chunk number, counted in C order among the chunks that hold the same rows.
    """
    found: dict[int, list[Span]] = {}
    width = layout.chunk_width
    for position, part in enumerate(parts):
        size = prod(layout.shape[1 + len(part) :])
        first = 0
        for index, extent in zip(part, layout.shape[1:], strict=False):
            first = first * extent + index
        # Values [start, stop) of the flat row; chunk k holds values [k * width, (k + 1) * width).
        start, stop = first * size, (first + 1) * size
        for number in range(start // width, -(-stop // width)):
            begin, end = max(start, number * width), min(stop, (number + 1) * width)
            found.setdefault(number, []).append((begin - number * width, end - begin, position * size + begin - start))
    return found


def bounds(neighbours: Sequence[Chunk]) -> tuple[int, int]:
    """Return the bytes `[start, stop)` that neighbouring chunks take."""
    return neighbours[0][0], max(stop for _, stop, _ in neighbours)


def requests_of(chunks: Iterable[Chunk], source: ByteSource) -> Iterator[list[list[Chunk]]]:
    """Yield the chunks of each call of `source.read`: a list of ranges, each a list of neighbouring chunks.

    Args:
        chunks: ascending by offset.
        source: its `gap_bytes` decides which chunks are neighbours, its `range_bytes` limits a call.
    """
    ranges: list[list[Chunk]] = []
    n_bytes = 0
    for chunk in chunks:
        offset, stop, _ = chunk
        near = bool(ranges) and offset <= ranges[-1][-1][1] + source.gap_bytes
        more = stop - (ranges[-1][-1][1] if near else offset)
        if ranges and n_bytes + more > source.range_bytes:
            yield ranges
            ranges, n_bytes, near, more = [], 0, False, stop - offset
        if near:
            ranges[-1].append(chunk)
        else:
            ranges.append([chunk])
        n_bytes += more
    if ranges:
        yield ranges


def neighbours_in_result(
    numbers: Iterable[int], spans: dict[int, list[Span]], layout: ShardLayout, most: int
) -> Iterator[list[int]]:
    """Yield groups of whole chunks that lie side by side in the rows of the result, to be copied together.

    Args:
        numbers: of the chunks in their shard, ascending.
        spans: as `spans_of` returns them.
        layout: of the array.
        most: largest number of chunks in a group.
    """
    group: list[int] = []
    following = None  # where the next chunk of the group would go
    for number in numbers:
        found = spans[number % layout.chunks_per_row]
        is_whole = len(found) == 1 and found[0][1] == layout.chunk_width
        if group and not (is_whole and found[0][2] == following and len(group) < most):
            yield group
            group = []
        group.append(number)
        following = found[0][2] + layout.chunk_width if is_whole else None
    if group:
        yield group
