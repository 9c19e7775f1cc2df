"""Catalog of the stores of a root with their state, read from their files alone."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from vadprobe.store.catalog.finding import DEPTH, FoundStore, list_stores
from vadprobe.store.catalog.inventory import Inventory
from vadprobe.store.catalog.path_hints import explain_root
from vadprobe.store.catalog.saved_catalog import CATALOG, CATALOG_VERSION, Place, read_saved, write_saved
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.names import is_key
from vadprobe.store.files.text import counted
from vadprobe.store.files.zarr_arrays import UNREADABLE


@dataclass(frozen=True)
class Entry:
    """One store of a root. Of an "unreadable" store only the place and the reason are known.

    Attributes:
        dataset, sampling, backbone, prompt: the names in its path.
        state: "open" until the store is committed, then "committed"; "unreadable" if its files cannot be read.
        reason: a sentence about what is wrong, None if nothing is.
        n_rows: rows of the clip table.
        n_planned: rows that the store will hold when it is finished.
        n_done: rows that are recorded, failed ones included.
        n_failed: rows that could not be computed.
        n_bytes: bytes of the store and its records.
        digest: of the specification.
        dtype: of the features.
        contents: the layers, heads and partitions that the store will hold, in words.
        leftovers: names of files beside the store that 'vadprobe gc' examines.
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
        """Its path below the root, with '/' between the parts."""
        return f"{self.dataset}/{self.sampling}/{self.backbone}/{self.prompt}.zarr"

    def to_json(self) -> dict[str, Any]:
        """Return all fields and the path as plain JSON values."""
        return {"path": self.relative_path, **asdict(self), "leftovers": list(self.leftovers)}


@dataclass(frozen=True)
class Catalog:
    """All stores of a root, sorted by place. `notes` say what else was found, and what could not be read."""

    root: StorePath
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()

    @property
    def n_bytes(self) -> int:
        """Bytes of all stores that can be read."""
        return sum(entry.n_bytes or 0 for entry in self.entries)

    def to_json(self) -> dict[str, Any]:
        """Return the catalog as plain JSON values, paths relative to the root."""
        return {"vadprobe_catalog": CATALOG_VERSION, "stores": [entry.to_json() for entry in self.entries]}

    def save(self) -> StorePath:
        """Write `catalog.json` into the root, whole or not at all; return its path."""
        return write_saved(self.root, self.to_json())


def read_catalog(root: StorePath) -> Catalog:
    """Read the small files of every store of a root. A store that cannot be read becomes an entry with a reason.

    If the root cannot be listed (a web server), the stores are those that its `catalog.json` names.

    Raises:
        VadprobeError: if there is no such root, it holds no store, or it can neither be listed nor has a catalog.
    """
    listing = list_stores(root)
    notes = list(listing.notes)
    entries = []
    for store in listing.stores:
        names = store.path.with_suffix("").relative_to(root).parts
        if len(names) != DEPTH + 1:
            continue
        if not all(map(is_key, names)):
            notes.append(f"{store.path} is left out: its name is not a key of a prompt.")
            continue
        dataset, sampling, backbone, prompt = names
        entry = _entry(root, (dataset, sampling, backbone, prompt), store)
        entries.append(_checked(entry, store.digest) if listing.is_saved else entry)
    if not entries and not listing.is_saved:
        raise VadprobeError(" ".join([explain_root(root), *notes]))
    if not listing.is_saved:
        notes += _out_of_date(root, entries)
    return Catalog(root, tuple(entries), tuple(notes))


def _entry(root: StorePath, place: Place, store: FoundStore) -> Entry:
    try:
        found = Inventory.read(store.path)
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
            contents=found.contents_text,
            leftovers=store.leftovers,
        )
    except UNREADABLE as error:
        return Entry(*place, state="unreadable", reason=_below(root, str(error)), leftovers=store.leftovers)


def _below(root: StorePath, reason: str | None) -> str | None:
    """Return a reason with paths relative to the root, since the catalog may be saved and moved."""
    return None if reason is None else reason.replace(f"{root}/", "")


def _reason(found: Inventory, place: Place) -> str | None:
    """Return a sentence about what is wrong with a readable store; None if nothing is."""
    spec = found.spec
    said = (spec.dataset, spec.sampling.key, spec.backbone.key, spec.prompt.key)
    if said != place:
        return f"it lies at {'/'.join(place)}, but was written as {'/'.join(said)}; it was moved or copied there."
    if found.damaged:
        first = min(found.damaged)
        many = f"{counted(len(found.damaged), 'record')} are not valid, first" if len(found.damaged) > 1 else "a record"
        return f"{many}: {found.damaged[first]}"
    if found.refusal:
        return found.refusal
    missing = found.n_planned - found.n_done
    if found.is_committed and missing:
        return f"it is committed, but {counted(missing, 'row')} have no record. Run 'vadprobe verify'."
    return None


def _checked(entry: Entry, digest: str | None) -> Entry:
    """Return the entry, with a reason if its digest is not the one in the saved catalog."""
    if entry.state == "unreadable":
        return replace(entry, reason=f"{CATALOG} names it, but: {entry.reason}")
    if digest is not None and entry.digest != digest:
        digests = f"{digest[:12]}, but this one has {str(entry.digest)[:12]}"
        return replace(entry, reason=f"{CATALOG} was saved for a store of digest {digests}: it was replaced since.")
    return entry


def _out_of_date(root: StorePath, entries: Iterable[Entry]) -> Iterator[str]:
    """Yield sentences about what is out of date in the saved catalog of a listed root; none without a catalog."""
    try:
        saved, remarks = read_saved(root)
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
