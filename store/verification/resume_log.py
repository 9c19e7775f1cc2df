"""Log of an interrupted verification: `<backbone>/.<prompt>.verified`, one JSON line per partition.

Only sound partitions are in it. Each line has the digest of the record and the state of every shard, so that an entry
counts only while nobody has touched the partition's files. The partition of a damaged line is read again.
"""

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.verification.shard_check import FileState

_VERSION = 1

Shards = dict[str, FileState]
"""The state of each shard by array."""


def log_of(store: StorePath) -> Path:
    """Return the path of a store's log: a hidden file beside the store, which itself may hold no other files.

    The log of a store behind a URL lies in the user's cache folder.
    """
    if is_remote(store):  # an object cannot be appended to, and a reader's progress is of no use to others
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vadprobe"
        return cache / f"{hashlib.sha256(str(store).encode()).hexdigest()[:24]}.verified"
    return store.with_name(f".{store.stem}.verified")


class VerificationLog:
    """Log of one store, begun anew or continued.

    In a folder that cannot be written to, nothing is logged, and a verification cannot be resumed.

    Args:
        store: the Zarr group.
        spec_digest: of the stored specification; a log with another digest is discarded.
        resume: whether to continue an existing log; False begins anew.
    """

    def __init__(self, store: StorePath, spec_digest: str, resume: bool) -> None:
        self.path = log_of(store)
        self._head = {"version": _VERSION, "spec": spec_digest}
        self.begun = time.strftime("%Y-%m-%d %H:%M")
        self._entries: dict[int, dict[str, Any]] = {}
        if not (resume and self._read()):
            self._entries = {}
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.unlink(missing_ok=True)
                self._append({**self._head, "begun": self.begun})

    def knows(self, partition: int, record: str, shards: Shards) -> bool:
        """Return whether a partition with this record and these shards was read and found sound."""
        expected = {"record": record, "shards": {name: list(state) for name, state in shards.items()}}
        return self._entries.get(partition) == expected

    def add(self, partition: int, record: str, shards: Shards) -> None:
        """Remember that a partition is sound."""
        with contextlib.suppress(OSError):
            self._append({"partition": partition, "record": record, "shards": shards})

    def remove(self) -> None:
        """Delete the log; called when the store was read to its end."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _append(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _read(self) -> bool:
        """Read the log; return whether there is one of the same specification."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        head, *lines = [_parse(line) for line in text.split("\n")]
        if {**head, "begun": None} != {**self._head, "begun": None}:
            return False
        self.begun = str(head["begun"])
        for line in lines:
            if isinstance(line.get("partition"), int):
                self._entries[line["partition"]] = {key: line.get(key) for key in ("record", "shards")}
        if not text.endswith("\n"):  # end a last line that was cut, so that the next one is not joined to it
            with contextlib.suppress(OSError), self.path.open("a", encoding="utf-8") as file:
                file.write("\n")
        return True


def _parse(line: str) -> dict[str, Any]:
    """Parse a line; a damaged one is empty."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class UnkeptLog(VerificationLog):
    """Log that keeps nothing, for a verification of chosen partitions, which cannot be resumed."""

    def __init__(self) -> None:
        self._entries = {}

    def add(self, partition: int, record: str, shards: Shards) -> None:
        """Do nothing."""

    def remove(self) -> None:
        """Do nothing: an existing file belongs to another verification."""
