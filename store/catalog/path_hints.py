"""Finding a store by what a user typed; where it is something else, saying what that is and what to do."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.text import counted
from vadprobe.store.format.layout import records_of

_SHOWN = 6
_HIDDEN_SUFFIXES = (".records", ".partial")


def find_store(path: StorePath) -> StorePath:
    """The store that a path means: ``.../<prompt>.zarr``, or the same without ``.zarr``.

    A store that lost its metadata is one all the same.

    Raises:
        VadprobeError: if there is none, saying what is there instead, or which names are near.
    """
    for store in (path, path.with_name(f"{path.name}.zarr")):
        if store.name.endswith(".zarr") and (store / "zarr.json").exists():
            return store
    for store in (path, path.with_name(f"{path.name}.zarr")):
        if store.name.endswith(".zarr") and (store.exists() or records_of(store).is_dir()):
            return store
    if (path / "zarr.json").exists() and not _inside(path):  # a store under a name of the user's
        return path
    raise VadprobeError(explain(path))


def explain(path: StorePath) -> str:
    """What lies at a path that is no store, in a sentence, with the command that fits."""
    if not path.exists():
        return _missing(path)
    inside = _inside(path)
    if inside is not None:
        return f"{path} is a part of the store {inside}; use 'vadprobe show {inside}'."
    if path.name.endswith(".records"):
        store = path.with_suffix(".zarr")
        return f"{path} holds the partition records of {store}; use 'vadprobe show {store}'."
    if path.is_file():
        return _file(path)
    return _folder(path)


def _folder(path: StorePath) -> str:
    """What a folder is that is no store."""
    stores = _stores(path)
    if stores:
        return (
            f"{path} is the folder of a backbone with {counted(len(stores), 'store')}: {_named(stores)}. "
            f"Name one of them: 'vadprobe show {path / stores[0]}'."
        )
    if (path / "clips.parquet").exists():
        return (
            f"{path} is the folder of a sampling: its clip table clips.parquet, and {_children(path, 'backbone')}. "
            f"'vadprobe ls {_up(path, 2)}' lists its stores."
        )
    if (path / "videos.parquet").exists() or _has_below(path, "clips.parquet"):
        return (
            f"{path} is the folder of a dataset with {_children(path, 'sampling')}. "
            f"'vadprobe ls {_up(path, 1)}' lists its stores."
        )
    if any((child / "videos.parquet").exists() or _has_below(child, "clips.parquet") for child in _folders(path)):
        return f"{path} is a root of stores with {_children(path, 'dataset')}. 'vadprobe ls {path}' lists its stores."
    return f"there is no feature store at {path}, nor below it; a path that ends in PROMPT or PROMPT.zarr is wanted."


def explain_root(root: StorePath) -> str:
    """Why no store is found in a root, in a sentence, with the root that may be meant."""
    if not root.exists():
        return _missing(root)
    inside = _inside(root)
    store = inside or (root if root.name.endswith(".zarr") else None)
    if store is not None:
        return f"{root} is {'a part of ' if inside else ''}a store, no root; use 'vadprobe show {store}'."
    if root.is_file():
        return _file(root)
    for levels, what in ((3, "a backbone"), (2, "a sampling"), (1, "a dataset")):
        if any(root.glob("/".join(["*"] * (3 - levels) + ["*.zarr"]))):
            return f"{root} is the folder of {what}, no root; use 'vadprobe ls {_up(root, levels)}'."
    for found in root.glob("*/*/*/*/*.zarr"):
        return f"{root} holds no store, but {found.parents[3]} does; use 'vadprobe ls {found.parents[3]}'."
    return f"{root} holds no feature store yet; 'vadprobe plan' and 'vadprobe extract' write one."


def _missing(path: StorePath) -> str:
    """That a path does not exist, how far it does, and names that are near."""
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        path, parent = parent, parent.parent
    try:
        names = [child.name for child in parent.iterdir()]
    except (OSError, NotImplementedError, VadprobeError):  # no folder, or a place that cannot be listed
        names = []
    known = [
        name.removesuffix(".zarr") for name in names if not name.startswith(".") and not name.endswith(_HIDDEN_SUFFIXES)
    ]
    wanted = path.name.removesuffix(".zarr")
    near = difflib.get_close_matches(wanted, [name for name in known if name != wanted], n=1)
    hint = (
        f" Did you mean {str(parent / near[0])!r}?" if near else f" It holds {_named(sorted(known))}." if known else ""
    )
    where = "this folder" if parent == Path() else parent
    return f"there is no {wanted!r} in {where}.{hint}"


def _file(path: StorePath) -> str:
    if path.suffix == ".parquet":
        what = {"clips": "a clip table", "videos": "the table of a dataset's videos"}.get(path.stem, "a Parquet table")
        return f"{path} is {what}, no store; any Parquet reader opens it. 'vadprobe ls ROOT' lists stores."
    if path.suffix == ".toml":
        return f"{path} is a job file, no store; 'vadprobe plan {path}' says what it would compute."
    return f"{path} is a file, no store; a path that ends in PROMPT or PROMPT.zarr is wanted."


def _up(path: StorePath, levels: int) -> str:
    """The folder so many levels above, as the user would type it."""
    parents = list(path.parents)
    return str(parents[levels - 1]) if len(parents) >= levels else "ROOT"


def _inside(path: StorePath) -> StorePath | None:
    """The store that a path lies inside of; None if it does not."""
    return next((parent for parent in path.parents if parent.name.endswith(".zarr")), None)


def _stores(folder: StorePath) -> list[str]:
    return sorted(child.name.removesuffix(".zarr") for child in folder.glob("*.zarr"))


def _children(folder: StorePath, noun: str) -> str:
    names = sorted(child.name for child in _folders(folder))
    return f"{counted(len(names), noun)}: {_named(names)}" if names else f"no {noun} yet"


def _folders(folder: StorePath) -> list[StorePath]:
    return [child for child in folder.iterdir() if not child.name.startswith(".") and child.is_dir()]


def _has_below(folder: StorePath, name: str) -> bool:
    return any((child / name).exists() for child in _folders(folder))


def _named(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:_SHOWN]) + (f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else "")
