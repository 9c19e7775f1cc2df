"""What a root holds, found from its files alone; and a file that says so where folders cannot be listed."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from vadprobe.store.catalog.inventory import Inventory, contents_text
from vadprobe.store.catalog.path_hints import explain_root
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.atomic_files import read_json, write_bytes
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.names import check_key
from vadprobe.store.files.text import counted
from vadprobe.store.format.provenance import UNREADABLE
from vadprobe.store.format.schema import n_partitions

CATALOG = "catalog.json"
"""Name of the saved catalog in a root."""

_VERSION = 1
_UNLISTED = (OSError, NotImplementedError, VadprobeError)

Place = tuple[str, str, str, str]
"""A store by dataset, sampling key, backbone key and prompt key: all that its path is made of."""


@dataclass(frozen=True)
class Entry:
    """One store of a root.

    ``reason`` says what is wrong; it is never None for an "unreadable" store, of which only the place is known.
    ``n_rows`` counts the clip table, ``n_planned`` what the store is to hold of it, ``n_done`` what is recorded, and
    ``n_failed`` those among them that could not be computed. ``n_bytes`` are those of the store and its records.
    ``leftovers`` are names of files beside the store that 'vadprobe gc' looks at.
    """

    dataset: str
    sampling: str
    backbone: str
    prompt: str
    state: Literal["open", "committed", "unreadable"]
    reason: str | None = None
    n_rows: int | None = None
    n_planned: int | None = None
    n_done: int | None = None
    n_failed: int | None = None
    n_bytes: int | None = None
    digest: str | None = None
    dtype: str | None = None
    contents: str | None = None
    leftovers: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """The four names of its path."""
        return self.dataset, self.sampling, self.backbone, self.prompt

    @property
    def relative_path(self) -> str:
        """Where it lies below the root, with '/' between the parts."""
        return f"{self.dataset}/{self.sampling}/{self.backbone}/{self.prompt}.zarr"

    def to_json(self) -> dict[str, Any]:
        """All fields and the path, as plain JSON values."""
        return {"path": self.relative_path, **asdict(self), "leftovers": list(self.leftovers)}


@dataclass(frozen=True)
class Catalog:
    """All stores of a root, sorted by place. ``notes`` say what else was found, or could not be looked at."""

    root: StorePath
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()

    @property
    def n_bytes(self) -> int:
        """Bytes of all stores that can be read."""
        return sum(entry.n_bytes or 0 for entry in self.entries)

    def to_json(self) -> dict[str, Any]:
        """The catalog as plain JSON values, paths relative to the root."""
        return {"vadprobe_catalog": _VERSION, "stores": [entry.to_json() for entry in self.entries]}

    def save(self) -> StorePath:
        """Write ``catalog.json`` into the root, whole or not at all; returns its path."""
        path = self.root / CATALOG
        content = (json.dumps(self.to_json(), indent=1, sort_keys=True) + "\n").encode()
        write_bytes(path, content)
        return path


def read_catalog(root: StorePath) -> Catalog:
    """Look at every store of a root. A store that cannot be read is an entry with a reason.

    Where the root cannot be listed (a web server), the stores that its ``catalog.json`` names are looked at.

    Raises:
        VadprobeError: if there is no such root, it holds no store, or it can neither be listed nor has a catalog.
    """
    notes: list[str] = []
    try:
        found = sorted(_stores_below(root, notes))
        unlisted = None
    except _UNLISTED as error:
        found, unlisted = [], error
    if found:
        entries = tuple(_entry(root, place, names) for place, names in found)
        return Catalog(root, entries, (*notes, *_out_of_date(root, entries)))
    saved, remarks = _read_saved(root)
    if saved is None:
        if unlisted is not None and not isinstance(unlisted, FileNotFoundError | NotADirectoryError):
            raise VadprobeError(
                f"{root} cannot be listed ({unlisted}), and has no readable {CATALOG}. Run 'vadprobe ls ROOT --save' "
                "where it can be listed, and put that file there."
            ) from unlisted
        raise VadprobeError(" ".join([explain_root(root), *notes]))
    entries = tuple(_checked(_entry(root, place, ()), digest) for place, digest in sorted(saved.items()))
    return Catalog(root, entries, (*notes, *remarks, f"The stores are those that {root / CATALOG} names."))


def read_entry(root: StorePath, place: Place) -> Entry:
    """One store of a root, whatever state it is in; its folder is not listed, so leftovers are not known."""
    return _entry(root, place, ())


def _stores_below(root: StorePath, notes: list[str]) -> Iterator[tuple[Place, tuple[str, ...]]]:
    """Every store by its group or, where that is lost, its records; with the names of leftovers beside it."""
    for dataset in _folders(root):
        for sampling in _listing(dataset, notes):
            for backbone in _listing(sampling, notes):
                names = _names(backbone, notes)
                stems = {name.rpartition(".")[0] for name in names if name.endswith((".zarr", ".records"))}
                for prompt in stems:
                    if not _is_key(prompt):
                        notes.append(f"{backbone / prompt}.zarr is left out: its name is no key of a prompt.")
                        continue
                    place = (dataset.name, sampling.name, backbone.name, prompt)
                    yield place, tuple(name for name in names if _is_left(name, prompt))


def _is_left(name: str, prompt: str) -> bool:
    return name == f".{prompt}.verified" or (name.startswith(f"{prompt}.zarr.") and name.endswith(".partial"))


def _listing(folder: StorePath, notes: list[str]) -> list[StorePath]:
    try:
        return _folders(folder)
    except OSError as error:
        notes.append(f"{folder} cannot be listed: {error.strerror or error}.")
        return []


def _folders(folder: StorePath) -> list[StorePath]:
    return sorted(path for path in folder.iterdir() if _is_key(path.name) and path.suffix != ".zarr" and path.is_dir())


def _names(folder: StorePath, notes: list[str]) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        notes.append(f"{folder} cannot be listed: {error.strerror or error}.")
        return []


def _is_key(name: str) -> bool:
    try:
        check_key("a folder", name)
    except VadprobeError:
        return False
    return True


def _entry(root: StorePath, place: Place, leftovers: tuple[str, ...]) -> Entry:
    dataset, sampling, backbone, prompt = place
    path = root / dataset / sampling / backbone / f"{prompt}.zarr"
    try:
        found = Inventory.read(path)
        return Entry(
            *place,
            state="committed" if found.is_committed else "open",
            reason=_below(root, _reason(found, place)),
            n_rows=found.spec.n_clips,
            n_planned=found.n_planned,
            n_done=found.n_done,
            n_failed=len(found.failures),
            n_bytes=found.n_bytes,
            digest=found.spec.digest,
            dtype=found.spec.backbone.dtype,
            contents=contents_text(found.contents, n_partitions(found.spec.n_clips, found.contents.partition_rows)),
            leftovers=leftovers,
        )
    except UNREADABLE as error:
        return Entry(*place, state="unreadable", reason=_below(root, str(error)), leftovers=leftovers)


def _below(root: StorePath, reason: str | None) -> str | None:
    """A reason with paths relative to the root, as it may be saved and moved."""
    return None if reason is None else reason.replace(f"{root}/", "")


def _reason(found: Inventory, place: Place) -> str | None:
    """What is wrong with a store that can be read; None if nothing is."""
    spec = found.spec
    said = (spec.dataset, spec.sampling.key, spec.backbone.key, spec.prompt.key)
    if said != place:
        return f"it lies at {'/'.join(place)}, but was written as {'/'.join(said)}; it was moved or copied there."
    if found.damaged:
        first = min(found.damaged)
        many = f"{counted(len(found.damaged), 'record')} do not count, first" if len(found.damaged) > 1 else "a record"
        return f"{many}: {found.damaged[first]}"
    missing = found.n_planned - found.n_done
    if found.is_committed and missing:
        return f"it is committed, but {counted(missing, 'row')} have no record. Run 'vadprobe verify'."
    return None


def _read_saved(root: StorePath) -> tuple[dict[Place, str | None] | None, list[str]]:
    """Digest by place from the saved catalog, None if there is none; and what is wrong with it.

    Raises:
        StoreError: if the file is no catalog, or one of a later version.
    """
    path = root / CATALOG
    try:
        content = read_json(path)
    except OSError:
        return None, []
    version = content.get("vadprobe_catalog") if isinstance(content, dict) else None
    if not isinstance(version, int) or not isinstance(content.get("stores"), list):
        raise StoreError(f"{path} is no catalog; remove it, or save it again with 'vadprobe ls ROOT --save'.")
    if version > _VERSION:
        raise StoreError(f"{path} has version {version}, this vadprobe reads up to {_VERSION}; update vadprobe.")
    saved: dict[Place, str | None] = {}
    remarks = []
    for number, item in enumerate(content["stores"]):
        try:
            dataset, sampling, backbone, prompt = (
                check_key(f"the {field.name} of store {number}", item[field.name]) for field in fields(Entry)[:4]
            )
            saved[dataset, sampling, backbone, prompt] = item.get("digest")
        except (VadprobeError, TypeError, KeyError, AttributeError) as error:
            remarks.append(f"An entry of {path} is left out: {error}")
    return saved, remarks


def _checked(entry: Entry, digest: str | None) -> Entry:
    """An entry against what the saved catalog says about it."""
    if entry.state == "unreadable":
        return replace(entry, reason=f"{CATALOG} names it, but: {entry.reason}")
    if digest is not None and entry.digest != digest:
        return replace(
            entry,
            reason=f"{CATALOG} was saved for a store of digest {digest[:12]}, but this one has "
            f"{str(entry.digest)[:12]}: it was replaced since.",
        )
    return entry


def _out_of_date(root: StorePath, entries: Iterable[Entry]) -> Iterator[str]:
    """What the saved catalog of a listed root says wrong, in a sentence; nothing if there is none."""
    try:
        saved, remarks = _read_saved(root)
    except StoreError as error:
        yield str(error)
        return
    yield from remarks
    if saved is None:
        return
    found = {entry.place: entry.digest for entry in entries}
    added, gone = found.keys() - saved.keys(), saved.keys() - found.keys()
    other = [place for place in found.keys() & saved.keys() if found[place] != saved[place]]
    if added or gone or other:
        counts = ((len(added), "not in it"), (len(gone), "gone"), (len(other), "another store now"))
        said = ", ".join(f"{count} {what}" for count, what in counts if count)
        yield f"{CATALOG} is out of date ({said}); 'vadprobe ls ROOT --save' writes it again."
