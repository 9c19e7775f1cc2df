"""Check of one partition: its record against the plan, its shards against the record."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vadprobe.store.files.atomic_files import json_bytes
from vadprobe.store.files.location import StorePath, is_there
from vadprobe.store.files.object_store import ForbiddenError
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.partition_records import is_intact, names_in, record_path, shard_path
from vadprobe.store.format.schema import storage_dtype
from vadprobe.store.format.store_header import StoreHeader
from vadprobe.store.verification.check_pool import CheckPool
from vadprobe.store.verification.problems import Problem, Remedy
from vadprobe.store.verification.resume_log import VerificationLog
from vadprobe.store.verification.shard_check import FileState, ShardCheck, ShardFinding, file_state


@dataclass(frozen=True)
class PartitionFinding:
    """Result of the check of one partition.

    Attributes:
        problems: what is wrong with it.
        n_failed: rows that its record names as failed.
        n_bytes: bytes of its shards that were read now.
        n_skipped: bytes of its shards that were not read, because an earlier, interrupted verification found them
            sound.
        is_known: whether an earlier verification found the partition sound.
    """

    problems: tuple[Problem, ...]
    n_failed: int
    n_bytes: int
    n_skipped: int
    is_known: bool


@dataclass(frozen=True)
class _RecordFinding:
    """The record of a partition, read and compared with the plan."""

    content: bytes = b""
    messages: tuple[str, ...] = ()
    remedy: Remedy = "recompute"
    n_failed: int = 0
    is_intact: bool = True
    shards: tuple[ShardCheck, ...] = ()

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class PartitionCheck:
    """Check of one partition in progress, made by `begin`: the pool reads its shards."""

    header: StoreHeader
    number: int
    log: VerificationLog
    is_trusted: bool
    record: _RecordFinding
    futures: Mapping[str, Future[ShardFinding]] = field(default_factory=dict)
    n_skipped: int | None = None

    @classmethod
    def begin(
        cls, header: StoreHeader, clips: ClipTable, number: int, log: VerificationLog, is_trusted: bool, pool: CheckPool
    ) -> "PartitionCheck":
        """Check a partition's record and let the pool read its shards, unless the log says that they were found sound.

        If the specification is not trusted, no problem gets the remedy "recompute".
        """
        record = _check_record(header, clips, number)
        n_skipped = _skipped(record, number, log)
        futures = {check.array: pool.submit(check) for check in record.shards} if n_skipped is None else {}
        return cls(header, number, log, is_trusted, record, futures, n_skipped)

    def finish(self) -> PartitionFinding:
        """Wait for the shards and return the result; a sound partition is added to the log."""
        findings = {array: future.result() for array, future in self.futures.items()}
        of_shards = [one for finding in findings.values() if not finding.is_refused for one in finding.messages]
        refused = [one for finding in findings.values() if finding.is_refused for one in finding.messages]
        messages = [*self.record.messages, *of_shards]
        remedy: Remedy = "recompute" if of_shards else self.record.remedy
        if not messages and not self.record.is_intact:
            messages = ["its record was changed after it was written"]
        if messages and self.record.content and self._is_rewritten():
            messages, remedy = ["it is being written again; verify it when that is done"], "extract"
        states = {array: finding.state for array, finding in findings.items() if finding.state is not None}
        is_known = self.n_skipped is not None
        if not messages and not is_known and len(states) == len(findings):
            self.log.add(self.number, self.record.digest, states)
        files = self._files(messages)
        if not self.is_trusted and remedy != "permit":
            remedy = "restore"
        path, number = self.header.path, self.number
        problems = (
            *(Problem(path, number, message, remedy, files) for message in messages),
            *(Problem(path, number, message, "permit", self._files([message])) for message in refused),
        )
        n_bytes = sum(finding.n_bytes for finding in findings.values())
        return PartitionFinding(problems, self.record.n_failed, n_bytes, self.n_skipped or 0, is_known)

    def _is_rewritten(self) -> bool:
        """Return whether the record was deleted or replaced since it was read."""
        try:
            return record_path(self.header.path, self.number).read_bytes() != self.record.content
        except OSError:
            return True

    def _files(self, messages: list[str]) -> tuple[StorePath, ...]:
        """Return the shards of arrays that the messages name; if they name none, the record."""
        arrays = self.header.contents.arrays(self.header.spec)
        named = [array for array in arrays if any(array.name in message for message in messages)]
        shards = tuple(shard_path(self.header.path, array, self.number) for array in named)
        return shards or (record_path(self.header.path, self.number),)


def _skipped(record: _RecordFinding, number: int, log: VerificationLog) -> int | None:
    """Return the bytes of shards that an earlier verification found sound; None if they must be read."""
    if record.messages or not record.is_intact:
        return None
    try:
        states: dict[str, FileState | None] = {check.array: file_state(check.path) for check in record.shards}
    except ForbiddenError:  # the check of the shard says so
        return None
    there = {array: state for array, state in states.items() if state is not None}
    if len(there) < len(states) or not log.knows(number, record.digest, there):
        return None
    return sum(state[0] for state in there.values())


def _check_record(header: StoreHeader, clips: ClipTable, number: int) -> _RecordFinding:
    """Read the record of a partition and compare it with the plan."""
    path = record_path(header.path, number)
    try:
        content = path.read_bytes()
    except OSError as error:
        return _unread(error)
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        return _RecordFinding(content, (f"{path} is not valid JSON ({error}); it was damaged after it was written.",))
    messages: list[str] = []
    try:
        for message in _contradictions(record, header, clips, number):
            messages.append(message)  # one by one, so that messages found before an error are kept
        rows = header.contents.rows(number, len(clips))
        failed = [row for row in map(int, record["failures"]) if rows.start <= row < rows.stop]
        found = list(_shards(record, header, number, tuple(row - rows.start for row in failed)))
        messages += [one for one in found if isinstance(one, str)]
        shards = tuple(one for one in found if isinstance(one, ShardCheck))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        message = f"its record cannot be understood ({reason}); it was edited or damaged"
        return _RecordFinding(content, (*messages, message))
    intact = is_intact(record) and record.get("partition") == number
    if intact and not messages and content != json_bytes(record):
        message = "white space or escapes of its record were changed; it reads the same"
        return _RecordFinding(content, (message,), "rebuild", len(failed), intact, shards)
    return _RecordFinding(content, tuple(messages), "recompute", len(failed), intact, shards)


def _unread(error: OSError) -> _RecordFinding:
    """Return the finding for a record that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return _RecordFinding(messages=("it has no record: it was never finished",), remedy="extract")
    if isinstance(error, ForbiddenError):
        return _RecordFinding(
            messages=(f"its record cannot be read with these credentials, or does not exist: {error}",), remedy="permit"
        )
    return _RecordFinding(messages=(f"its record cannot be read: {error.strerror or error}",))


def _contradictions(record: Any, header: StoreHeader, clips: ClipTable, number: int) -> Iterator[str]:
    rows, contents = header.contents.rows(number, len(clips)), header.contents
    if record["rows"] != [rows.start, rows.stop]:
        yield f"its record must be for rows [{rows.start}, {rows.stop}], got {record['rows']}"
    if record["rows_digest"] != clips.row_digest(rows):
        yield "its record was made for other clips than the clip table names"
    names = names_in(record, header.spec.digest)
    if names["spec_digest"] != header.spec.digest:
        yield "its record was made under another specification"
    if names.get("contents_digest") != (None if contents.is_complete else contents.digest):
        yield "its record was made for other contents: layers, heads or partitions"
    stray = [row for row in map(int, record["failures"]) if not rows.start <= row < rows.stop]
    if stray:
        yield f"its record names failed rows outside the partition, first {stray[0]}"


def _shards(record: Any, header: StoreHeader, number: int, failed: tuple[int, ...]) -> Iterator[ShardCheck | str]:
    """Yield the check of each shard, or a message about a shard that must not exist.

    A partition whose rows all failed has no shards. `failed` are row numbers counted from the partition's first row.
    """
    rows = header.contents.rows(number, header.spec.n_clips)
    n_rows, dtype = rows.stop - rows.start, header.spec.backbone.dtype
    for array in header.contents.arrays(header.spec):
        recorded = record["shards"].get(array.name, {})
        path = shard_path(header.path, array, number)
        stored = header.contents.mask(array, number)
        if not stored.any() or (recorded.get("sha256") is None and len(failed) == n_rows):
            reason = "every row is recorded as failed" if stored.any() else "the store does not hold that array"
            if is_there(path):
                yield f"the shard of {array.name} is there, though {reason}"
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
            failed,
            None if stored.all() else tuple(np.flatnonzero(stored).tolist()),
        )
