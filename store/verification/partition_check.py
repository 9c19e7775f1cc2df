"""One partition read again: its record against the plan, its shards against the record."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vadprobe.store.files.location import StorePath
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.partition_records import is_intact, record_name, shard_path
from vadprobe.store.format.schema import storage_dtype
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.verification.check_pool import CheckPool
from vadprobe.store.verification.problems import Problem, Remedy
from vadprobe.store.verification.resume_log import VerificationLog
from vadprobe.store.verification.shard_check import FileState, ShardCheck, ShardFinding, file_state


@dataclass
class PartitionCheck:
    """One partition as its files have it: first its record, then its shards.

    ``is_trusted`` says whether the specification may be believed: if not, no partition is judged worth computing again.
    """

    store: StorePath
    spec: FeatureSpec
    clips: ClipTable
    number: int
    log: VerificationLog
    is_trusted: bool
    contents: StoredParts
    failed: list[int] = field(default_factory=list)
    n_bytes: int = 0
    n_skipped: int = 0
    _messages: list[str] = field(default_factory=list)
    _remedy: Remedy = "recompute"
    _record: bytes = b""
    _is_whole: bool = True
    is_known: bool = False
    _found: dict[str, "Future[ShardFinding]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = self.contents.rows(self.number, len(self.clips))
        self.record_path = records_of(self.store) / record_name(self.number)

    @property
    def n_shards(self) -> int:
        """Shards that are being read."""
        return len(self._found)

    def begin(self, pool: CheckPool) -> None:
        """Check the record and let the pool read the shards."""
        try:
            self._record = self.record_path.read_bytes()
        except FileNotFoundError:
            self._messages.append("it has no record: it was never finished")
            self._remedy = "extract"
            return
        except OSError as error:
            self._messages.append(f"its record cannot be read: {error.strerror or error}")
            return
        try:
            record = json.loads(self._record)
        except (ValueError, RecursionError) as error:
            self._messages.append(
                f"{self.record_path} is not valid JSON ({error}); it was damaged after it was written."
            )
            return
        try:
            for message in self._check_record(record):
                self._messages.append(message)  # one by one: what was found before an error is told as well
            checks = list(self._shards(record))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            self._messages.append(f"its record cannot be understood ({reason}); it was edited or damaged")
            return
        self._is_whole = is_intact(record) and record["partition"] == self.number
        if self._is_whole and not self._messages:
            self.is_known = self._is_known(checks)
            if self._record != _as_written(record):
                self._messages.append("white space or escapes of its record were changed; it reads the same")
                self._remedy = "rebuild"
        if not self.is_known:
            self._found = {check.array: pool.submit(check) for check in checks}

    def finish(self) -> list[Problem]:
        """Wait for the shards; what is wrong with the partition. If nothing is, the log says so."""
        states = dict[str, FileState | None]()
        before = len(self._messages)
        for array, future in self._found.items():
            finding = future.result()
            self._messages += finding.messages
            self.n_bytes += finding.n_bytes
            states[array] = finding.state
        if len(self._messages) > before:
            self._remedy = "recompute"
        if not self._messages and not self._is_whole:
            self._messages.append("its record was changed after it was written")
        if self._messages and self._record and self._is_rewritten():
            self._messages, self._remedy = ["it is being written anew; verify again when that is done"], "extract"
        known = {array: state for array, state in states.items() if state is not None}
        if not self._messages and not self.is_known and len(known) == len(states):
            self.log.add(self.number, _digest(self._record), known)
        remedy = self._remedy if self.is_trusted else "restore"
        return [Problem(self.store, self.number, message, remedy, self._files()) for message in self._messages]

    def _check_record(self, record: Any) -> Iterator[str]:
        if record["rows"] != [self.rows.start, self.rows.stop]:
            yield f"its record is for rows {record['rows']}, wanted [{self.rows.start}, {self.rows.stop}]"
        if record["rows_digest"] != self.clips.row_digest(self.rows):
            yield "its record was made for other clips than the clip table names"
        if record["spec_digest"] != self.spec.digest:
            yield "its record was made under another specification"
        if record.get("contents_digest") != (None if self.contents.is_complete else self.contents.digest):
            yield "its record was made for other contents: layers, heads or partitions"
        self.failed = [int(row) for row in record["failures"]]
        stray = [row for row in self.failed if not self.rows.start <= row < self.rows.stop]
        if stray:
            yield f"its record names failed rows outside the partition, first {stray[0]}"
            self.failed = [row for row in self.failed if row not in stray]

    def _shards(self, record: Any) -> Iterator[ShardCheck]:
        """What each shard must be; a partition whose rows all failed has none."""
        n_rows = self.rows.stop - self.rows.start
        dtype = self.spec.backbone.dtype
        for array in self.contents.arrays(self.spec):
            recorded = record["shards"].get(array.name, {})
            path = shard_path(self.store, array, self.number)
            held = self.contents.mask(array, self.number)
            if not held.any() or (recorded.get("sha256") is None and len(self.failed) == n_rows):
                reason = "every row is recorded as failed" if held.any() else "the store does not hold that array"
                if path.exists():
                    self._messages.append(f"the shard of {array.name} is there, though {reason}")
                continue
            yield ShardCheck(
                array.name,
                path,
                recorded.get("sha256"),
                recorded.get("bytes"),
                array.shard,
                array.chunk,
                storage_dtype(dtype).newbyteorder("<").str,
                dtype == "bfloat16",
                n_rows,
                tuple(row - self.rows.start for row in self.failed),
                None if held.all() else tuple(np.flatnonzero(held).tolist()),
            )

    def _is_known(self, checks: list[ShardCheck]) -> bool:
        states = {check.array: file_state(check.path) for check in checks}
        whole = {array: state for array, state in states.items() if state is not None}
        known = len(whole) == len(states) and self.log.knows(self.number, _digest(self._record), whole)
        self.n_skipped = sum(state[0] for state in whole.values()) if known else 0
        return known

    def _is_rewritten(self) -> bool:
        """Whether somebody has taken the record away or replaced it since it was read."""
        try:
            return self.record_path.read_bytes() != self._record
        except OSError:
            return True

    def _files(self) -> tuple[StorePath, ...]:
        arrays = self.contents.arrays(self.spec)
        named = [shard_path(self.store, array, self.number) for array in arrays if self._names(array.name)]
        return tuple(named) or (self.record_path,)

    def _names(self, array: str) -> bool:
        return any(array in message for message in self._messages)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _as_written(record: Any) -> bytes:
    """A record as ``atomic_files.write_json`` writes it."""
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()
