"""What ended processes left in a root: claims, staged and half-written files, finished logs, records without a store.

Looking changes nothing. Removing goes by the rules of claims: a claim whose process is gone from this machine goes at
once; any other is watched for its lease first, and goes only if it gave no sign of life.
"""

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.claims.claims import FOLDER, Claims
from vadprobe.store.claims.owner import Owner
from vadprobe.store.claims.staging import staged_partition
from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import is_remote
from vadprobe.store.files.locks import sole_planner
from vadprobe.store.files.text import counted
from vadprobe.store.format.store_header import StoreHeader
from vadprobe.store.format.zarr_arrays import UNREADABLE
from vadprobe.store.verification.resume_log import log_of

AGE = 600.0
"""Seconds after which a half-written file counts as left: writing one takes a moment."""

_WRITTEN = re.compile(r".+\.[0-9]+\.[0-9a-f]{32}\.partial|.+\.zarr\.[0-9]+\.partial")
"""Temporary names that are given beside stores; in a store and its records, every ``*.partial`` is one."""

Kind = Literal["claim", "staging", "half-written", "log", "records"]
Verdict = Literal["goes", "watch", "stays"]


@dataclass(frozen=True)
class Garbage:
    """A file or folder that may be left over. ``watch`` is a claim that only its lease can judge."""

    path: Path
    kind: Kind
    verdict: Verdict
    why: str
    n_bytes: int


def find_garbage(root: Path) -> list[Garbage]:
    """All leftovers below a root by path; nothing is changed.

    Raises:
        StoreError: if there is no such folder.
    """
    if not root.is_dir():
        raise StoreError(f"{root} is no folder; the root of stores is wanted.")
    found = [] if is_remote(root) else list(_half_written(root))  # objects appear whole
    for backbone in _backbones(root):
        found += [*_claims(backbone), *_logs(backbone), *_records(backbone)]
    return sorted(found, key=lambda one: one.path)


def collect_garbage(
    root: Path,
    found: list[Garbage],
    tell: Callable[[str], None] = lambda message: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Garbage]:
    """Remove what goes; claims that only their lease can judge are watched for as long, all together.

    Everything is judged again at the moment of removal, so that a worker that began in between loses nothing.

    Returns:
        What was removed.

    Raises:
        StoreError: if something cannot be removed.
    """
    for one in found:
        if one.verdict == "goes" and one.kind in ("half-written", "log", "records"):
            _remove(one)
    folders = {one.path.parent.parent for one in found if one.kind in ("claim", "staging") and one.verdict != "stays"}
    watched = {folder: claims_in(folder) for folder in folders}
    leases = [_first_look(claims) for claims in watched.values()]
    if any(leases):
        lease = max(leases)
        tell(f"Watching for {lease:.0f} s whether workers on other machines give a sign of life.")
        sleep(lease + 0.1)
    for claims in watched.values():
        for partition in _claimed(claims.folder):
            if not _lives_here(claims.folder, partition) and (claim := claims.take(partition)):
                claim.release()
        claims.tidy()
    return [one for one in found if one.verdict != "stays" and not one.path.exists()]


def _first_look(claims: Claims) -> float:
    """Let the claims be seen once; returns the longest lease among those that have to be watched, 0 if none has."""
    leases = [0.0]
    for partition in _claimed(claims.folder):
        owner = _owner(claims.folder, partition)
        if owner is not None and (owner.vanished() or owner.runs_here()):
            continue
        if claim := claims.take(partition):  # released in between
            claim.release()
        else:
            leases.append(owner.lease if owner else claims.lease)
    return max(leases)


def _remove(one: Garbage) -> None:
    """Remove one leftover in the right of its folder's planner, if it still is one."""
    folder = one.path.parent
    while folder.name.endswith((".records", ".zarr")) or any(above.name.endswith(".zarr") for above in folder.parents):
        folder = folder.parent
    # Where nobody ever planned, there is no planner to wait for, and no lock file is left behind.
    is_planned = not is_remote(folder) and (folder / ".planning").exists()
    with sole_planner(folder) if is_planned else contextlib.nullcontext():
        if one.kind == "records" and one.path.with_suffix(".zarr").exists():
            return
        if one.kind == "half-written" and not _is_old(one.path):
            return
        try:
            if is_remote(one.path):
                for path in (one.path, *one.path.rglob("*")):
                    path.unlink(missing_ok=True)
            elif one.path.is_dir() and not one.path.is_symlink():
                shutil.rmtree(one.path)
            else:
                one.path.unlink(missing_ok=True)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{one.path} cannot be removed: {error.strerror or error}") from error


def _backbones(root: Path) -> Iterator[Path]:
    """Folders of backbones: those that hold stores, records or claims."""
    for folder in sorted(root.glob("*/*/*")):
        if folder.is_dir() and not folder.name.endswith((".zarr", ".records")):
            yield folder


def _half_written(root: Path) -> Iterator[Garbage]:
    """Temporary files by their name, from the root down into the stores; not those that are staged under a claim."""
    patterns = ["/".join(["*"] * depth + ["*.partial"]) for depth in range(5)]
    patterns += ["*/*/*/*.zarr/*.partial", "*/*/*/*.zarr/*/**/*.partial"]
    for path in dict.fromkeys(path for pattern in patterns for path in root.glob(pattern)):
        above = path.relative_to(root).parts[:-1]
        if FOLDER in above or any(name.endswith(".partial") for name in above):
            continue  # it goes with its folder
        if not any(name.endswith((".zarr", ".records")) for name in above) and not _WRITTEN.fullmatch(path.name):
            continue  # the user's own
        if _is_old(path):
            yield Garbage(path, "half-written", "goes", "its writer was killed", _bytes(path))
        else:
            why = f"it was written to less than {AGE / 60:.0f} minutes ago, so its writer may be at work"
            yield Garbage(path, "half-written", "stays", why, _bytes(path))


def _is_old(path: Path) -> bool:
    times = [time.time()]
    for file in (path, *(path.rglob("*") if path.is_dir() else ())):
        with contextlib.suppress(FileNotFoundError):
            times.append(time.time() - file.stat().st_mtime)
    return min(times) >= AGE


def _claims(backbone: Path) -> Iterator[Garbage]:
    """Claims with what can be said of their owners, and staging folders with what becomes of them."""
    folder = backbone / FOLDER
    verdicts: dict[int, Verdict] = {}
    latest = {partition: max(generations) for partition, generations in _claimed(folder).items()}
    for partition, generations in _claimed(folder).items():
        owner = _owner(folder, partition)
        verdicts[partition], why = _judge(owner)
        for generation in generations:
            path = folder / f"{partition:06d}.{generation}"
            said = why if generation == latest[partition] else f"another worker took it over; of that one: {why}"
            yield Garbage(path, "claim", verdicts[partition], f"partition {partition}: {said}", _bytes(path))
    for path in sorted(folder.glob("*")):
        number = staged_partition(path.name)
        if number is not None:
            verdict = verdicts.get(number, "goes")
            why = "staged files of that claim" if number in verdicts else "staged files that no claim covers"
            yield Garbage(path, "staging", verdict, f"partition {number}: {why}", _bytes(path))


def _judge(owner: Owner | None) -> tuple[Verdict, str]:
    if owner is None:
        return "watch", "claimed by a worker that has not said its name"
    name = f"process {owner.process} on {owner.host}"
    if owner.vanished():
        return "goes", f"claimed by {name}, which has ended"
    if owner.runs_here():
        return "stays", f"claimed by {name}, which is running"
    return "watch", f"claimed by {name}; whether it lives is seen within {owner.lease:.0f} s"


def _logs(backbone: Path) -> Iterator[Garbage]:
    """Logs of verifications that nobody can resume, and those that somebody can."""
    for path in sorted(backbone.glob(".*.verified")):
        store = backbone / f"{path.name[1:].removesuffix('.verified')}.zarr"
        why = _finished(path, store)
        if why is not None and _is_old(path):
            yield Garbage(path, "log", "goes", why, _bytes(path))
        else:
            why = why or "'vadprobe verify --resume' goes on from it"
            yield Garbage(path, "log", "stays", why, _bytes(path))


def _finished(path: Path, store: Path) -> str | None:
    """Why a log is of no use any more; None if a verification may go on from it."""
    if path != log_of(store) or not store.exists():
        return "the verification of a store that is gone"
    try:
        header = StoreHeader.read(store)
        head, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if head["spec"] != header.spec.digest:
            return "the verification of another store that lay here before"
        if len({line["partition"] for line in lines}) == len(header.partitions):
            return "the verification has read every partition"
    except UNREADABLE:
        return None
    return None


def _records(backbone: Path) -> Iterator[Garbage]:
    for path in sorted(backbone.glob("*.records")):
        if path.is_dir() and not path.with_suffix(".zarr").exists():
            count = counted(len(list(path.glob("*.json"))), "record")
            yield Garbage(path, "records", "goes", f"{count} of a store that is gone", _bytes(path))


def _claimed(folder: Path) -> dict[int, list[int]]:
    """Generations by claimed partition, ascending."""
    found: dict[int, list[int]] = {}
    for path in sorted(folder.glob("*")):
        partition, _, generation = path.name.partition(".")
        if partition.isdigit() and generation.isdigit():
            found.setdefault(int(partition), []).append(int(generation))
    return {partition: sorted(generations) for partition, generations in sorted(found.items())}


def _owner(folder: Path, partition: int) -> Owner | None:
    generations = _claimed(folder).get(partition)
    if not generations:
        return None
    try:
        return Owner.read((folder / f"{partition:06d}.{generations[-1]}").read_bytes())
    except OSError:
        return None


def _lives_here(folder: Path, partition: int) -> bool:
    owner = _owner(folder, partition)
    return owner is not None and owner.runs_here()


def _bytes(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total
