"""Find the stores below a folder, local or remote."""

import os
from collections.abc import Iterator
from pathlib import Path

from vadprobe.store.catalog.catalog import read_catalog
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath, can_list, is_remote


def _found_below(folder: StorePath) -> list[StorePath]:
    found = sorted(_stores_below(folder))
    if not found:
        raise VadprobeError(
            f"there is no feature store below {folder}; run 'vadprobe extract' first, or check the path."
        )
    return found


def _stores_below(folder: StorePath) -> Iterator[StorePath]:
    """Stores by their groups or, where a group is lost, by their records; nothing inside a store is looked at."""
    if is_remote(folder):
        yield from _stores_of_bucket(folder)
        return
    for parent, folders, _ in os.walk(folder):
        names = {Path(name).stem for name in folders if name.endswith((".zarr", ".records"))}
        yield from (Path(parent) / f"{name}.zarr" for name in names)
        folders[:] = [name for name in folders if not name.endswith((".zarr", ".records", ".partial"))]


def _stores_of_bucket(folder: StorePath, depth: int = 3) -> Iterator[StorePath]:
    """Stores below a folder of an object store, at most so many folders deep."""
    if not can_list(folder):
        yield from (folder / entry.relative_path for entry in read_catalog(folder).entries)
        return
    names = set()
    for path in folder.iterdir():
        if path.suffix in (".zarr", ".records"):
            names.add(path.stem)
        elif depth and not path.is_file():
            yield from _stores_of_bucket(path, depth - 1)
    yield from (folder / f"{name}.zarr" for name in names)
