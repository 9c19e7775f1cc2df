"""Creating the empty Zarr group of a planned store."""

import contextlib
import os
import shutil
from pathlib import Path, PurePosixPath

from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import sync
from vadprobe.store.files.locks import sole_planner
from vadprobe.store.files.remote_path import RemotePath
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.store_header import read_attributes
from vadprobe.store.format.stored_parts import EVERYTHING, StoredParts
from vadprobe.store.writing.store_files import Files, planned_files


def create_group(path: Path, spec: FeatureSpec, clips: ClipTable, contents: StoredParts = EVERYTHING) -> None:
    """Write the empty group under a temporary name and rename it, so that a killed plan leaves no partial store.

    Records of a store that was removed are deleted first, so that they never count for the new one. If another worker
    has created a store at `path` meanwhile, nothing is done, and the caller must check that it is the same.

    Raises:
        StoreError: if the file system refuses, for example because it is full.
    """
    try:
        with sole_planner(path.parent):
            if path.exists():
                return
            if records_of(path).exists():
                shutil.rmtree(records_of(path))
            records_of(path).mkdir(parents=True)
            aside = path.with_name(f"{path.name}.{os.getpid()}.partial")
            shutil.rmtree(aside, ignore_errors=True)
            _write(aside, planned_files(path, spec, clips, contents))
            aside.rename(path)
            sync(path.parent)
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be created: {error.strerror or error}. Check free space and "
            "permissions, then plan again; no unfinished store was left behind."
        ) from error


def create_remote_group(path: RemotePath, spec: FeatureSpec, clips: ClipTable, contents: StoredParts) -> None:
    """Create the missing objects of an empty store. Any number of workers may call this, be killed, and call it again.

    The group's metadata come first: the worker that creates them decides the specification. The caller must check that
    it is the same.
    """
    files = planned_files(path, spec, clips, contents)
    with contextlib.suppress(FileExistsError):
        (path / "zarr.json").create(files["zarr.json"])
    if read_attributes(path).get("digest") != spec.digest:
        return
    arrays = sorted({PurePosixPath(name).parts[0] for name in files if "/" in name})
    there = {path / "zarr.json"}
    for array in arrays:
        there.update((path / array).glob("*.json"), (path / array / "c").glob("0"))
    for name, content in files.items():
        if path / name not in there:
            with contextlib.suppress(FileExistsError):
                (path / name).create(content)


def _write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for created in (*folder.rglob("*"), folder):
        sync(created)
