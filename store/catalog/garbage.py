"""Search for files that ended processes left in a root, and their deletion.

Such files are claims, staged and half-written files, finished logs, and records without a store. Searching changes
nothing. A claim is deleted at once if its process is known to have ended. A claim on an object store whose process runs
on another machine is watched for the length of its lease first, and deleted only if it shows no heartbeat.
"""

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from vadprobe.store.claims.claim import FOLDER, Verdict
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.locks import sole_planner
from vadprobe.store.files.text import counted
from vadprobe.store.files.zarr_arrays import UNREADABLE
from vadprobe.store.format.store_header import StoreHeader
from vadprobe.store.verification.resume_log import log_of

AGE = 600.0
"""Age in seconds from which a half-written file counts as abandoned; writing one takes a moment."""

_WRITTEN = re.compile(r".+\.[0-9]+\.[0-9a-f]{32}\.partial|.+\.zarr\.[0-9]+\.partial")
"""Temporary names beside stores; inside a store and its records, every `*.partial` is temporary."""

Kind = Literal["claim", "staging", "half-written", "log", "records"]


@dataclass(frozen=True)
class Garbage:
    """File or folder that may be left over. The verdict is `wait` for a claim that only its lease can judge."""

    path: StorePath
    kind: Kind
    verdict: Verdict
    why: str
    n_bytes: int


def find_garbage(root: StorePath) -> list[Garbage]:
    """Return all leftover files below a root, sorted by path; change nothing.

    Raises:
        StoreError: if there is no such folder.
    """
    if not root.is_dir():
        raise StoreError(f"the root of the stores must be a folder, got {root}.")
    found = [] if is_remote(root) else list(_half_written(root))  # objects appear whole
    for backbone in _backbones(root):
        found += [*_claims(backbone), *_logs(backbone), *_records(backbone)]
    return sorted(found, key=lambda one: one.path)


def collect_garbage(
    found: list[Garbage],
    tell: Callable[[str], None] = lambda message: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Garbage]:
    """Delete leftover files. Claims that only their lease can judge are watched first, all at the same time.

    Every file is judged again right before it is deleted, so that a worker that began meanwhile loses nothing.

    Args:
        found: as `find_garbage` returns it.
        tell: called with a sentence about a wait.
        sleep: waits for some seconds.

    Returns:
        The files and folders that were deleted.

    Raises:
        StoreError: if something cannot be deleted.
    """
    for one in found:
        if one.verdict == "delete" and one.kind in ("half-written", "log", "records"):
            _remove(one)
    folders = {one.path.parent.parent for one in found if one.kind in ("claim", "staging") and one.verdict != "keep"}
    watched = [claims_in(folder) for folder in folders]
    lease = max((claims.tidy() for claims in watched), default=0.0)
    if lease:
        tell(f"Watching {lease:.0f} s for heartbeats of workers on other machines.")
        sleep(lease + 0.1)
        for claims in watched:
            claims.tidy()
    return [one for one in found if one.verdict != "keep" and not one.path.exists()]


def _remove(one: Garbage) -> None:
    """Delete a leftover while holding the folder's planning lock, after judging it again."""
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


def _backbones(root: StorePath) -> Iterator[StorePath]:
    """Find the folders of backbones: those that hold stores, records or claims."""
    folders: list[StorePath] = sorted(root.glob("*/*/*"))
    for folder in folders:
        if folder.is_dir() and not folder.name.endswith((".zarr", ".records")):
            yield folder


def _half_written(root: StorePath) -> Iterator[Garbage]:
    """Find temporary files by their names, from the root down into the stores, but not those staged under a claim."""
    patterns = ["/".join(["*"] * depth + ["*.partial"]) for depth in range(5)]
    patterns += ["*/*/*/*.zarr/*.partial", "*/*/*/*.zarr/*/**/*.partial"]
    for path in dict.fromkeys(path for pattern in patterns for path in root.glob(pattern)):
        above = path.relative_to(root).parts[:-1]
        if FOLDER in above or any(name.endswith(".partial") for name in above):
            continue  # deleted with its folder
        if not any(name.endswith((".zarr", ".records")) for name in above) and not _WRITTEN.fullmatch(path.name):
            continue  # the user's own
        recent = f"it was written to less than {AGE / 60:.0f} minutes ago, so its writer may still be running"
        verdict: Verdict = "delete" if _is_old(path) else "keep"
        why = "its writer was killed" if verdict == "delete" else recent
        yield Garbage(path, "half-written", verdict, why, _bytes(path))


def _is_old(path: StorePath) -> bool:
    times = [time.time()]
    for file in (path, *(path.rglob("*") if path.is_dir() else ())):
        with contextlib.suppress(FileNotFoundError):
            times.append(time.time() - file.stat().st_mtime)
    return min(times) >= AGE


def _claims(backbone: StorePath) -> Iterator[Garbage]:
    """Find the files of claims, and files that are staged under them."""
    claims = claims_in(backbone)
    for partition, paths in claims.entries().items():
        verdict, why = claims.judge(partition)
        for path in paths:
            kind: Kind = "staging" if path.name.endswith(".staging") else "claim"
            yield Garbage(path, kind, verdict, f"partition {partition}: {why}", _bytes(path))


def _logs(backbone: StorePath) -> Iterator[Garbage]:
    """Find logs of verifications, with the verdict "delete" only for those that cannot be resumed."""
    logs: list[StorePath] = sorted(backbone.glob(".*.verified"))
    for path in logs:
        store = backbone / f"{path.name[1:].removesuffix('.verified')}.zarr"
        why = _finished(path, store)
        verdict: Verdict = "delete" if why is not None and _is_old(path) else "keep"
        yield Garbage(path, "log", verdict, why or "'vadprobe verify --resume' goes on from it", _bytes(path))


def _finished(path: StorePath, store: StorePath) -> str | None:
    """Return the reason why a log is useless; None if a verification may resume from it."""
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


def _records(backbone: StorePath) -> Iterator[Garbage]:
    folders: list[StorePath] = sorted(backbone.glob("*.records"))
    for path in folders:
        if path.is_dir() and not path.with_suffix(".zarr").exists():
            count = counted(len(list(path.glob("*.json"))), "record")
            yield Garbage(path, "records", "delete", f"{count} of a store that is gone", _bytes(path))


def _bytes(path: StorePath) -> int:
    """Count the bytes of a file, or of all files of a folder."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total
