"""Changing the header and metadata of a store that exists, and deleting what killed planners left in it."""

import contextlib
import json
import shutil
from pathlib import PurePosixPath
from typing import Any

from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import has_content, read_json, sync, write_bytes
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.store_header import ATTRIBUTE, read_attributes
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.writing.store_files import as_zarr_writes, planned_files

_TRIES = 10


def change_attributes(store: StorePath, changes: dict[str, Any]) -> None:
    """Change keys of a store's header and nothing else in its file; the caller is the folder's sole planner.

    On an object store several workers may do this at once: if another one was faster, the change is applied again.

    Raises:
        StoreError: if there is no store, or other workers were faster every time.
    """
    file = store / "zarr.json"
    for _ in range(_TRIES):
        tag = file.stat().tag if is_remote(file) else None
        before = read_attributes(store)
        if before == {**before, **changes}:
            return
        content = read_json(file)
        content["attributes"][ATTRIBUTE] = {**before, **changes}
        if not is_remote(file):
            write_bytes(file, as_zarr_writes(content))
            return
        with contextlib.suppress(OSError):
            file.replace_if(as_zarr_writes(content), tag)
    raise StoreError(
        f"{file} changed each time it was about to be written; find the other program that writes there, and end it."
    )


def write_group(store: StorePath, spec: FeatureSpec, clips: ClipTable, contents: StoredParts) -> None:
    """Write metadata and coordinates as planning does, with new checksums; the caller is the folder's sole planner.

    The store is open again; attributes that users added stay. The header is written last: until then the store has its
    old specification.
    """
    files = planned_files(store, spec, clips, contents)
    document = json.loads(files.pop("zarr.json"))
    document["attributes"] = {**read_json(store / "zarr.json")["attributes"], **document["attributes"]}
    for name, content in (*files.items(), ("zarr.json", as_zarr_writes(document))):
        if not has_content(store / name, content):
            write_bytes(store / name, content)
            for folder in PurePosixPath(name).parents:  # the folders above it may be new as well
                sync(store / folder)


def remove_leftovers_of(store: StorePath) -> None:
    """Delete half-written files of killed processes in a store; the caller is the folder's sole planner.

    Only planners write there: partitions are staged in a folder of their own, and moved into the store when they are
    whole. An object store has no half-written files.
    """
    if is_remote(store):
        return
    beside = store.parent.glob(f"{store.name}.*.partial")
    for path in [*store.rglob("*.partial"), *records_of(store).glob("*.partial"), *beside]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
