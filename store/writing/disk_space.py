"""The space that features take, checked before the work begins."""

import math
import shutil
from collections.abc import Iterable

from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.text import size_text
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts

_BYTES_PER_VALUE = {"bfloat16": 1.7, "float16": 1.9, "float32": 3.6}
"""Bytes of a value after compression, rounded up: 1.59 to 1.62 and 1.87 were measured for the first two."""


def n_values(spec: FeatureSpec, contents: StoredParts, partition: int) -> int:
    """Return the number of values that a store of these contents has in a partition."""
    rows = contents.rows(partition, spec.n_clips)
    stored = sum(
        int(contents.mask(array, partition).sum()) * math.prod(array.chunk[1:]) for array in contents.arrays(spec)
    )
    return int(rows.stop - rows.start) * stored


def stored_bytes(spec: FeatureSpec, contents: StoredParts, partitions: Iterable[int]) -> int:
    """Estimate the bytes that some partitions of a store take on the disk."""
    values = sum(n_values(spec, contents, partition) for partition in partitions)
    return math.ceil(values * _BYTES_PER_VALUE[spec.backbone.dtype])


def n_objects(spec: FeatureSpec, contents: StoredParts, partitions: Iterable[int]) -> int:
    """Return the number of files, or objects, of some partitions: their shards and records."""
    arrays = contents.arrays(spec)
    return sum(1 + sum(bool(contents.mask(array, partition).any()) for array in arrays) for partition in partitions)


def require_space(folder: StorePath, n_bytes: int) -> None:
    """Refuse work whose result of `n_bytes` does not fit into a folder, which need not exist yet.

    Raises:
        StoreError: naming the bytes that are needed and free.
    """
    free = free_bytes(folder)
    if free is not None and n_bytes > free:
        raise StoreError(
            f"the features still to be written take about {size_text(n_bytes)}, but {size_text(free)} are free "
            f"at {folder}. Free some space, use another root, or ask for fewer prompts, layers or heads."
        )


def require_writable(root: StorePath) -> None:
    """Refuse a root that stores cannot be written to partition by partition.

    Raises:
        StoreError: if it is on a web server, or on a hub.
    """
    if not is_remote(root) or (root.can_list and not root.is_on_hub):
        return
    if root.is_on_hub:
        raise StoreError(
            f"{root} is a repository of a hub, which keeps no locks for partitions and every file of its past. Write "
            "the store to a folder or a bucket, and give it with 'vadprobe push' when it is finished."
        )
    raise StoreError(f"{root} is on a web server, which is for reading; name a folder or a bucket.")


def free_bytes(folder: StorePath) -> int | None:
    """Return the bytes that are free where a folder is, or will be; None for an object store, which has no end."""
    if is_remote(folder):
        return None
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free
