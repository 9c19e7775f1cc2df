"""The files of a store that its specification and clip table decide, as this version writes them.

A file of these bytes is whole. One of other bytes may have been written by another version of a library, so its content
decides then.
"""

import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.writing.store_creation import create_group

_KEPT = 4  # stores of one dataset share a clip table, and are looked at one after another

Files = dict[str, bytes]
"""Content by path below the store, with '/' between its parts."""


def _kept(build: Callable[..., Files]) -> Callable[..., Files]:
    """Remember the last results by the digests of the arguments."""
    results: dict[str, Files] = {}

    @wraps(build)
    def remembered(first: FeatureSpec | ClipTable, *rest: ClipTable | StoredParts) -> Files:
        key = " ".join([first.digest, *(one.digest for one in rest)])
        if key not in results:
            results[key] = build(first, *rest)
            if len(results) > _KEPT:
                del results[next(iter(results))]
        return results[key]

    return remembered


@_kept
def empty_store(spec: FeatureSpec, clips: ClipTable, contents: StoredParts) -> Files:
    """All files of a store that was just planned: metadata and coordinates, no features."""
    with tempfile.TemporaryDirectory(prefix="vadprobe-") as folder:
        path = Path(folder) / "store.zarr"
        create_group(path, spec, clips, contents)
        return {
            file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()
        }


@_kept
def clip_files(clips: ClipTable) -> Files:
    """The two files of a clip table by name."""
    with tempfile.TemporaryDirectory(prefix="vadprobe-") as folder:
        clips.write(Path(folder) / "clips.parquet")
        return {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
