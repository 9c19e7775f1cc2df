"""Reading a feature store: whole partitions, or single layers and heads of some rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.files.location import StorePath, location
from vadprobe.store.files.zarr_arrays import UNREADABLE, open_array
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.schema import ArraySpec, storage_dtype
from vadprobe.store.format.specification import Head, check_heads
from vadprobe.store.format.store_header import StoreHeader
from vadprobe.store.reading.byte_sources import source_of
from vadprobe.store.reading.recorded_store import RecordedStore
from vadprobe.store.reading.requests import check_numbers, check_recorded, check_stored, heads_of, row_numbers
from vadprobe.store.reading.shard_layout import ShardLayout
from vadprobe.store.reading.shard_reader import ShardReader
from vadprobe.store.reading.shard_rows import ShardRows

if TYPE_CHECKING:
    import zarr


@dataclass(frozen=True, eq=False)
class FeatureStore(RecordedStore):
    """One prompt's features of every clip of a dataset and sampling. Made by `open`.

    Reading a row that was never written is an error. A row that could not be computed is NaN.
    """

    _layouts: dict[str, ShardLayout | None] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(cls, path: StorePath) -> "FeatureStore":
        """Open the store at `path` (`.../<prompt>.zarr`) with its clip table.

        Raises:
            StoreError: if there is no store, or its clip table is another than the one it was written for.
        """
        header = StoreHeader.read(path).check_digest()
        return cls(path, header.spec, header.read_clips(), header.contents)

    def hidden_states(self, rows: np.ndarray, layers: Sequence[int]) -> np.ndarray:
        """Read hidden states of some rows and layers.

        Args:
            rows: (n,) row numbers, any order, repeats allowed.
            layers: k layer numbers; 0 is the embedding, l the output of block l - 1.

        Returns:
            (n, k, hidden) of the storage dtype; a failed row is NaN.

        Raises:
            StoreError: if a row was never written, a layer does not exist, or a shard is missing.
        """
        check_numbers(self.path, "layer", layers, self.spec.backbone.n_layers + 1)
        return self._read("hidden_states", rows, [(layer,) for layer in layers])

    def head_outputs(self, rows: np.ndarray, heads: Sequence[Head]) -> np.ndarray:
        """Read outputs of some heads, before the output projection.

        Args:
            rows: (n,) row numbers, any order, repeats allowed.
            heads: k heads as (block, head), both counted from 0.

        Returns:
            (n, k, width) of the storage dtype, `width` that of the widest of these heads; a narrower one ends in zeros.
            A failed row is NaN.

        Raises:
            StoreError: if the backbone has no such head, or as for `hidden_states`.
        """
        backbone = self.spec.backbone
        try:
            check_heads(backbone, heads)
        except VadprobeError as error:
            raise StoreError(f"{self.path}: {error}") from error
        if not backbone.n_heads:
            return np.empty((len(rows), 0, 0), storage_dtype(backbone.dtype))
        widest = max((backbone.head_shapes[block][1] for block, _ in heads), default=backbone.head_dim)
        return self._read("head_outputs", rows, list(heads), 2)[..., :widest]

    def blocks(self, rows: np.ndarray, blocks: Sequence[int]) -> np.ndarray:
        """Read all heads of k blocks, counted from 0: (n, k, heads, head_dim) of the storage dtype.

        Raises:
            StoreError: if the blocks differ in number or width of their heads, or as for `hidden_states`.
        """
        check_numbers(self.path, "block", blocks, self.spec.backbone.n_layers)
        shapes = [self.spec.backbone.head_shapes[block] for block in blocks]
        if len(set(shapes)) > 1:
            raise StoreError(f"{self.path}: blocks must have heads of one number and width, got {shapes}.")
        if self.spec.backbone.block_heads is None:
            return self._read("head_outputs", rows, [(block,) for block in blocks])
        heads = [head for block in blocks for head in heads_of(self.spec.backbone, block)]
        values = self.head_outputs(rows, heads)
        return values.reshape(len(values), len(blocks), -1, values.shape[-1])

    def answer_logits(self, rows: np.ndarray) -> np.ndarray:
        """Read the logits of yes and no for the answer's first token: (n, 2) of the storage dtype."""
        return self._read("answer_logits", rows, [()])[:, 0]

    def encoded(self, array: ArraySpec, partition: int, chunks: Sequence[int]) -> list[bytes]:
        """Read inner chunks of a shard, given by number in C order, as they are stored; check their checksums.

        Raises:
            StoreError: if the partition is not written, a chunk is damaged, or the array's layout is not that of the
                format.
        """
        layout = self._layout(array.name)
        # An array with more rows: a process that was killed had begun to grow the store.
        found = None if layout is None else (layout.shape[1:], layout.shard, layout.chunk)
        if layout is None or layout.shape[0] < array.shape[0] or found != (array.shape[1:], array.shard, array.chunk):
            raise StoreError(f"{self.path}: {array.name} is not stored in this format's chunks. Run 'vadprobe verify'.")
        rows = self.contents.rows(partition, len(self.clips))
        (shard,) = self._shards(array, np.array([rows.start]))
        return ShardReader(source_of(self.path), layout).bodies(shard, chunks)

    def _read(self, name: str, rows: np.ndarray, parts: list[tuple[int, ...]], n_parts: int = 1) -> np.ndarray:
        """Read parts of rows, each part given by its leading indices: (n, parts, ...).

        Arrays with the format's layout are read directly; other layouts are read by Zarr, more slowly.
        """
        rows = row_numbers(self.path, rows, len(self.clips))
        declared = next(a for a in self.contents.arrays(self.spec) if a.name == name)
        layout = self._layout(name)
        found = layout if layout is not None else open_array(self.path, name)
        if found.shape[1:] != declared.shape[1:] or found.shape[0] < declared.shape[0]:  # more rows: a growth has begun
            raise StoreError(
                f"{self.path}: {name} must have shape {declared.shape}, got {found.shape}. Run 'vadprobe verify'."
            )
        check_stored(self.path, self.spec, self.contents, name, parts, rows)
        tail = declared.shape[1 + (len(parts[0]) if parts else n_parts) :]
        result = np.empty((len(rows), len(parts), *tail), dtype=found.dtype)
        shards = self._shards(declared, rows)
        if isinstance(found, ShardLayout) and found.shard == declared.shard:
            ShardReader(source_of(self.path), found).read(shards, parts, result)
        else:
            self._read_by_zarr(open_array(self.path, name), shards, parts, result)
        return result

    def _layout(self, name: str) -> ShardLayout | None:
        """Return the layout of an array in its shards; None if it must be read by Zarr."""
        if name not in self._layouts:
            try:
                self._layouts[name] = ShardLayout.of(read_json(self.path / name / "zarr.json"))
            except FileNotFoundError:
                return None
        return self._layouts[name]

    def _shards(self, array: ArraySpec, rows: np.ndarray) -> list[ShardRows]:
        """Return the shards that hold some rows, all of them recorded."""
        per = self.contents.partition_rows
        order = np.argsort(rows // per, kind="stable")
        numbers, starts = np.unique(rows[order] // per, return_index=True)
        check_recorded(self.path, len(self.clips), self.contents, self.records, numbers.tolist(), self.refused)
        shards = []
        for number, targets in zip(numbers.tolist(), np.split(order, starts[1:]), strict=False):
            path = str(shard_path(self.path, array, number))
            n_bytes = self.records[number]["shards"][array.name]["bytes"]
            shards.append(ShardRows(path, number, n_bytes, rows[targets] - number * per, targets))
        return shards

    def _read_by_zarr(
        self, array: "zarr.Array[Any]", shards: list[ShardRows], parts: list[tuple[int, ...]], result: np.ndarray
    ) -> None:
        """Read whole partitions and take rows in memory, which is faster than Zarr's own row indexing of shards."""
        for shard in shards:
            shard.tail(source_of(self.path))  # raises if the shard's size is not the recorded one
            block = self.contents.rows(shard.partition, len(self.clips))
            for position, part in enumerate(parts):
                index: tuple[int | slice, ...] = (block, *part)
                try:
                    result[shard.targets, position] = np.asarray(array[index])[shard.rows]
                except UNREADABLE as error:
                    raise shard.error(f"it cannot be read ({error})") from error


def open_store(place: str | StorePath) -> FeatureStore:
    """Open the store of one prompt, `.../<prompt>.zarr`: a folder's path, or a URL (s3, gs, az, hf, http, https).

    Raises:
        StoreError: if there is no store, or it was damaged.
        VadprobeError: if the URL is of another kind.
    """
    return FeatureStore.open(location(place) if isinstance(place, str) else place)
