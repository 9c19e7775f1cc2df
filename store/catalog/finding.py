"""Search for stores below a folder of this machine, of an object store, or of a web server.

A web server cannot be listed; there `catalog.json` names the stores.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from vadprobe.store.catalog.saved_catalog import CATALOG, path_of, read_saved
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.text import error_text

DEPTH = 3
"""Number of folders between a root and its stores: dataset, sampling, backbone."""

_STORE_SUFFIXES = (".zarr", ".records")
_UNLISTED = (OSError, NotImplementedError, VadprobeError)
_ANY_DEPTH = 100


@dataclass(frozen=True, order=True)
class FoundStore:
    """A store that was found, with its path.

    Attributes:
        path: of the Zarr group; the group may be lost, with only its records left.
        leftovers: names of files beside the store that 'vadprobe gc' examines.
        digest: the store's digest in `catalog.json`, if the store was not found by listing; else None.
    """

    path: StorePath
    leftovers: tuple[str, ...] = ()
    digest: str | None = None


@dataclass(frozen=True)
class Listing:
    """The stores below a folder, sorted; `notes` say what could not be listed.

    `is_saved` is True if listing found no store and the stores are those that `catalog.json` names.
    """

    stores: tuple[FoundStore, ...]
    notes: tuple[str, ...] = ()
    is_saved: bool = False


def list_stores(folder: StorePath, depth: int = DEPTH) -> Listing:
    """List the stores below a folder without opening them; at most `depth` folders lie between.

    Raises:
        VadprobeError: if the folder can neither be listed nor has a catalog.
    """
    notes: list[str] = []
    unlisted: Exception | None = None
    try:
        found = tuple(sorted(_walk(folder, depth, notes)))
    except (FileNotFoundError, NotADirectoryError):
        found = ()
    except _UNLISTED as error:
        found, unlisted = (), error
    if found:
        return Listing(found, tuple(notes))
    saved, remarks = read_saved(folder)
    if saved is not None:
        stores = tuple(FoundStore(path_of(folder, place), digest=digest) for place, digest in sorted(saved.items()))
        return Listing(stores, (*notes, *remarks, f"The stores are those that {folder / CATALOG} names."), True)
    if unlisted is not None:
        raise VadprobeError(
            f"{folder} cannot be listed ({unlisted}), and has no readable {CATALOG}. Run 'vadprobe ls ROOT --save' "
            "where it can be listed, and put that file there."
        ) from unlisted
    return Listing((), tuple(notes))


def stores_below(folder: StorePath) -> list[StorePath]:
    """Return the paths of all stores below a folder: at any depth on this machine, else at most `DEPTH` folders down.

    Raises:
        VadprobeError: if there is none, or the folder can neither be listed nor has a catalog.
    """
    found = list_stores(folder, DEPTH if is_remote(folder) else _ANY_DEPTH).stores
    if not found:
        raise VadprobeError(
            f"there is no feature store below {folder}; run 'vadprobe extract' first, or check the path."
        )
    return [store.path for store in found]


def names_in(folder: StorePath) -> list[str] | None:
    """Return the sorted names of a folder's entries; empty if there is no folder, None if it cannot be listed."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []
    except _UNLISTED:
        return None


def _walk(folder: StorePath, depth: int, notes: list[str], above: tuple[StorePath, ...] = ()) -> Iterator[FoundStore]:
    """Yield the stores below a folder; a store whose group is lost is found by its records."""
    here = folder if is_remote(folder) else folder.resolve()
    if here in above:  # a link to a folder above it would never end
        return
    inside: list[StorePath] = [path for path in folder.iterdir() if not _is_marked_only(path)]
    inside.sort(key=lambda path: path.name)
    names = [path.name for path in inside]
    for stem in sorted({path.stem for path in inside if path.suffix in _STORE_SUFFIXES}):
        yield FoundStore(folder / f"{stem}.zarr", tuple(name for name in names if _is_leftover(name, stem)))
    for child in inside if depth else ():
        if child.suffix in (*_STORE_SUFFIXES, ".partial") or child.name.startswith("."):
            continue
        try:
            if child.is_dir():
                yield from _walk(child, depth - 1, notes, (*above, here))
        except OSError as error:
            notes.append(f"{child} cannot be listed: {error_text(error)}.")


def _is_marked_only(path: StorePath) -> bool:
    """Return whether a store's name is in a bucket only as a folder marker without a store."""
    return is_remote(path) and path.suffix in _STORE_SUFFIXES and not path.is_dir()


def _is_leftover(name: str, stem: str) -> bool:
    return name == f".{stem}.verified" or (name.startswith(f"{stem}.zarr.") and name.endswith(".partial"))
