"""Search for a store by the path that a user gave, and advice when there is none."""

import difflib
from pathlib import Path

from vadprobe.store.catalog.finding import DEPTH, list_stores, names_in
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.text import counted, first_few
from vadprobe.store.format.layout import records_of

_SHOWN = 6


def find_store(path: StorePath) -> StorePath:
    """Return the store at a path `.../<prompt>.zarr`, also when it is given without `.zarr`.

    A store that lost its metadata counts too.

    Raises:
        VadprobeError: if there is none; the message says what is there instead, or which names are similar.
    """
    candidates = [path] if path.suffix == ".zarr" else []
    candidates += [path.with_name(f"{path.name}.zarr")] if path.name else []
    for store in candidates:
        if (store / "zarr.json").exists():
            return store
    for store in candidates:
        if store.exists() or records_of(store).is_dir():
            return store
    if (path / "zarr.json").exists() and _store_around(path) is None:  # a store that the user has renamed
        return path
    raise VadprobeError(explain(path))


def explain(path: StorePath) -> str:
    """Return a sentence about a path that is no store: its content, and the command for it."""
    store = _store_around(path)
    if not path.exists():
        return _missing(path)
    if store is not None:
        return f"{path} is a part of the store {store}; use 'vadprobe show {store}'."
    stores = [found.path for found in list_stores(path, DEPTH).stores]
    if not stores:
        what = "is a file, not a store" if path.is_file() else "is not a store, and holds none"
        return f"{path} {what}; a store is named as ROOT/DATASET/SAMPLING/BACKBONE/PROMPT, with or without .zarr."
    names = [str(store.relative_to(path).with_suffix("")) for store in stores]
    return (
        f"{path} is not a store, but holds {counted(len(stores), 'store')}: {first_few(names, _SHOWN)}. "
        f"Name one of them: 'vadprobe show {stores[0].with_suffix('')}'."
    )


def explain_root(root: StorePath) -> str:
    """Return a sentence about a folder that is no root of stores, with the root that may be meant."""
    store = _store_around(root)
    if not root.exists():
        return _missing(root)
    if store is not None:
        return f"{root} is {'' if store == root else 'a part of '}a store, no root; use 'vadprobe show {store}'."
    for found in list_stores(root, DEPTH + 1).stores:
        path = found.path if is_remote(found.path) else found.path.absolute()
        parents = path.parents
        return f"{root} is not a root of stores; use 'vadprobe ls {parents[min(DEPTH, len(parents) - 1)]}'."
    return f"{root} holds no feature store yet; 'vadprobe plan' and 'vadprobe extract' write one."


def _missing(path: StorePath) -> str:
    """Return a sentence about a missing path: which of its folders exist, and which names there are similar."""
    parent = next((folder for folder in path.parents if folder.exists()), None)
    if parent is None:
        return f"there is no {str(path)!r}; check the path."
    wanted = path.relative_to(parent).parts[0]
    names = [name for name in names_in(parent) or [] if not name.startswith(".")]
    known = sorted({name.removesuffix(".zarr") for name in names if not name.endswith((".records", ".partial"))})
    near = difflib.get_close_matches(wanted.removesuffix(".zarr"), known, n=1)
    hint = f" Did you mean {str(parent / near[0])!r}?" if near else f" It holds {first_few(known, _SHOWN)}."
    return f"there is no {wanted!r} in {'this folder' if parent == Path() else parent}." + (hint if known else "")


def _store_around(path: StorePath) -> StorePath | None:
    """Return the store whose group or records are at the path or above it; None if there is none."""
    found = next((folder for folder in (path, *path.parents) if folder.suffix in (".zarr", ".records")), None)
    return None if found is None else found.with_suffix(".zarr")
