"""Changing the metadata of a store that exists, and creating one where there are no folders to rename."""

import contextlib
import json
from pathlib import PurePosixPath
from typing import Any

from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import read_json, write_bytes
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.remote_path import RemotePath
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.provenance import ATTRIBUTE, read_attributes
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.writing.expected_files import empty_store

_TRIES = 10


def change_attributes(store: StorePath, changes: dict[str, Any]) -> None:
    """Change the provenance of a store, everything else in the file as it is; for its folder's sole planner.

    On an object store, where several workers may do so at once, a change that another one overtook is made again.

    Raises:
        StoreError: if there is no store, or others change it all the time.
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
    raise StoreError(f"{file} changed whenever it was about to be written; who else writes there?")


def as_zarr_writes(content: dict[str, Any]) -> bytes:
    """Metadata in the form in which Zarr writes them."""
    return json.dumps(content, indent=2).encode()


def create_remote_group(path: RemotePath, spec: FeatureSpec, clips: ClipTable, contents: StoredParts) -> None:
    """Put what an empty store consists of where it is missing; may be killed and repeated, by any number of workers.

    The group's metadata come first: whoever puts them decides what the store is. Whether that is the same is for the
    caller to check.
    """
    files = empty_store(spec, clips, contents)
    with contextlib.suppress(FileExistsError):
        (path / "zarr.json").create(files["zarr.json"])
    if read_attributes(path).get("digest") != spec.digest:
        return
    arrays = {PurePosixPath(name).parts[0] for name in files if "/" in name}
    found = {str(file.relative_to(path)) for array in sorted(arrays) for file in (path / array).glob("*.json")}
    chunks = {str(file.relative_to(path)) for array in sorted(arrays) for file in (path / array / "c").glob("0")}
    for name, content in files.items():
        if name not in found | chunks | {"zarr.json"}:
            with contextlib.suppress(FileExistsError):
                (path / name).create(content)
