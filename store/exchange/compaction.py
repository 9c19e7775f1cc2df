"""A copy of a store in larger partitions: fewer and longer reads of single layers and heads over all rows.

In a store as extraction writes it, one layer or head of 100,000 rows lies in 391 pieces in as many files; in partitions
of 4,096 rows it lies in 25. The price: reading a single row means reading 4,096 of them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vadprobe.store.errors import StoreError
from vadprobe.store.exchange.transfer import Choice, Transfer, plan_copy
from vadprobe.store.files.location import StorePath
from vadprobe.store.format.schema import ArraySpec, compression
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.progress import Progress
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.writing.shard_writer import encode_chunks, join_chunks
from vadprobe.store.writing.writer import StoreWriter

ROWS = 4096
"""Default rows of a partition: a head of 128 float32 values is then one piece of 2 MiB, about half when compressed."""

_VALUES_BYTES = 2**27  # decoded at a time


def compact(
    source: FeatureStore, root: StorePath, choice: Choice, rows: int = ROWS, report: Progress | None = None
) -> Transfer:
    """Copy a store, or layers and heads of it, into partitions of `rows` rows below another root.

    A second call continues an interrupted copy. The store must hold all its rows. Videos cannot be chosen: pull them
    first.

    Raises:
        StoreError: if the source is not finished or a part of another, the disk cannot hold the copy, or another store
            is in the way.
    """
    spec, held = source.spec, source.contents
    if held.partitions is not None or choice.videos is not None or choice.splits is not None:
        raise StoreError(
            f"{source.path}: only a store with all its rows can be compacted; layers and heads can be chosen, videos "
            "and splits cannot."
        )
    source.check_finished()
    same = choice.contents(source)
    # If some partitions hold everything and others chosen layers and heads, the copy holds the chosen ones.
    contents = StoredParts.of(spec.backbone, spec.n_clips, same.layers, same.heads, same.answers, partition_rows=rows)
    writer = plan_copy(source, root, contents)
    left = writer.missing()
    n_before, n_bytes = writer.n_partitions - len(left), 0
    if report:
        report(n_before, writer.n_partitions)
    for number, partition in enumerate(left, n_before + 1):
        n_bytes += _write(source, writer, partition)
        if report:
            report(number, writer.n_partitions)
    writer.commit()
    return Transfer(writer, len(left), n_before, n_bytes, ())


def _write(source: FeatureStore, writer: StoreWriter, partition: int) -> int:
    """Write one partition of the copy; return the number of its bytes."""
    span = writer.contents.rows(partition, len(source.clips))
    rows = np.arange(span.start, span.stop)
    failures = {row: reason for row, reason in source.failures.items() if span.start <= row < span.stop}

    def shards() -> Iterator[tuple[str, Sequence[bytes]]]:
        for array in writer.contents.arrays(source.spec) if len(failures) < len(rows) else ():
            held = writer.contents.mask(array, partition)
            if held.any():
                yield array.name, join_chunks(_bodies(source, array, rows, held), held)

    return writer.write_shards(partition, shards(), failures, batch_clips=_batch_clips(source, span))


def _batch_clips(source: FeatureStore, rows: slice) -> list[int]:
    """Return the distinct batch sizes that the records of some rows name."""
    found: set[int] = set()
    for record in source.records.values():
        start, stop = record["rows"]
        if start < rows.stop and rows.start < stop:
            found.update(record.get("batch_clips", ()))
    return sorted(found)


def _bodies(source: FeatureStore, array: ArraySpec, rows: np.ndarray, held: np.ndarray) -> list[bytes]:
    """Return the encoded chunks of some rows; they are read and encoded a few at a time, to bound memory."""
    settings = compression(source.spec.backbone.dtype)
    n_heads = source.spec.backbone.n_heads
    numbers = np.flatnonzero(held).tolist()
    most = max(1, _VALUES_BYTES // (len(rows) * int(np.prod(array.chunk[1:])) * 4))
    bodies = []
    for start in range(0, len(numbers), most):
        group = numbers[start : start + most]
        values: Any
        if array.name == "hidden_states":
            values = source.hidden_states(rows, group)
        elif array.name == "head_outputs":
            values = source.head_outputs(rows, [divmod(number, n_heads) for number in group])
            values = np.pad(values, ((0, 0), (0, 0), (0, array.chunk[-1] - values.shape[-1])))  # as they are stored
        else:
            values = source.answer_logits(rows)[:, None]
        chunks = [values[:, position] for position in range(len(group))]
        bodies += encode_chunks(chunks, array.chunk, settings)
    return bodies
