"""Claims: which worker computes which partition, agreed through files alone.

A claim is the file ``<backbone>/.claims/<partition>.<generation>``, created exclusively. Its owner rewrites a counter
in it; whoever wants the partition watches that counter on a clock of its own, so clocks need not agree. A claim whose
counter stood still for the lease, or whose process is gone from this machine, is taken over by creating the next
generation: of several takers one can. The taker removes the old claim and the old owner's staging folder before it
begins, so an owner that wakes up later can publish nothing (see ``claims.staging``).
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from vadprobe.store.claims.owner import Owner
from vadprobe.store.claims.staging import ClaimLostError, Staging, revoke, staged_partition
from vadprobe.store.errors import StoreError

LEASE = 60.0
"""Seconds without a sign of life after which a claim is free; its owner gives four signs in that time."""

FOLDER = ".claims"


class Claim:
    """A partition held by this process; leave the ``with`` block, or call ``release``, to give it back."""

    def __init__(self, path: Path, descriptor: int, owner: Owner, staging: Staging) -> None:
        self.staging = staging
        self._path, self._descriptor, self._owner = path, descriptor, owner
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._live, name="claim", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Stop the work if it is not ours any more; cheap, and no safeguard: that is the staging folder.

        Raises:
            ClaimLostError: if another worker took the partition over.
        """
        if not self._is_ours():
            raise ClaimLostError(
                f"partition {int(self._path.stem)} below {self._path.parents[1]} was taken over by another worker, "
                "because this process was suspended or cut off from the file system. That worker computes it; nothing "
                "is lost."
            )

    def release(self) -> None:
        """Give the partition back and delete what was staged; may be repeated."""
        if self._released.is_set():
            return
        self._released.set()
        self._thread.join()
        self.staging.remove()
        with contextlib.suppress(OSError):
            if self._is_ours():
                self._path.unlink()
        os.close(self._descriptor)
        _remove_empty(self._path.parent)

    def __enter__(self) -> "Claim":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _is_ours(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def _live(self) -> None:
        """Count in our own file, wherever it is by now: another worker's claim is never touched."""
        beat = 0
        while not self._released.wait(self._owner.lease / 4):
            beat += 1
            with contextlib.suppress(OSError):  # the file server may be away for a moment; if longer, the claim expires
                os.pwrite(self._descriptor, self._owner.content(beat), 0)
                os.fsync(self._descriptor)


class Claims:
    """The claims in one backbone's folder, as one worker sees them over time.

    Args:
        folder: the backbone's folder, ``<sampling>/<backbone>``.
        lease: seconds without a sign of life after which a claim of ours is free; by default ``LEASE``.
        clock: seconds that never go back; not the time of day.
    """

    def __init__(self, folder: Path, lease: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder / FOLDER
        self.lease = LEASE if lease is None else lease
        self._clock = clock
        self._seen: dict[int, tuple[str, bytes, float]] = {}

    def take(self, partition: int) -> Claim | None:
        """Claim a partition; None while another worker holds it.

        A claim is seen to expire only by asking for it again: twice at least, the lease apart.

        Raises:
            StoreError: if the file system refuses to keep a claim.
        """
        try:
            generations = self._generations().get(partition, [])
            if generations and not self._expired(partition, generations[-1]):
                return None
            return self._create(partition, generations[-1] if generations else 0)
        except OSError as error:
            raise StoreError(
                f"a claim on partition {partition} cannot be kept in {self.folder}: {error.strerror or error}. Check "
                "free space and permissions."
            ) from error

    def hold(self, partition: int) -> Claim:
        """Claim a partition; where its owner may be gone, watch for signs of life for a lease first.

        Raises:
            StoreError: if another worker holds it and lives, naming that worker.
        """
        before = self._latest(partition)
        while (claim := self.take(partition)) is None:
            now = self._latest(partition)
            owner = Owner.read(now or b"")
            if now and (now != before or (owner is not None and owner.runs_here())):
                raise StoreError(
                    f"partition {partition} below {self.folder.parent} is being written by another worker "
                    f"({self.holder(partition) or 'just now'}); wait for it to finish, or stop it."
                )
            time.sleep(min(1.0, self.lease / 20))
        return claim

    def holder(self, partition: int) -> str | None:
        """Who holds a partition, in words; None when nobody does."""
        content = self._latest(partition)
        if content is None:
            return None
        owner = Owner.read(content)
        return f"process {owner.process} on {owner.host}" if owner else "a worker that has not said its name"

    def tidy(self) -> None:
        """Remove claims of processes that are gone from this machine, and staged files that no claim covers."""
        staged = {name: staged_partition(name) for name in self._names()}
        for partition in self._generations():
            owner = Owner.read(self._latest(partition) or b"")
            if owner is not None and owner.vanished() and (claim := self.take(partition)):
                claim.release()
        held = self._generations()  # read after the folders: a claim is older than its folder, and outlives it
        for name, number in staged.items():
            if number is not None and number not in held:
                with contextlib.suppress(StoreError):  # another user's: it does no harm
                    revoke(self.folder / name)
        _remove_empty(self.folder)

    def _expired(self, partition: int, generation: int) -> bool:
        content = self._content(partition, generation)
        if content is None:
            self._seen.pop(partition, None)
            return False  # released or taken over this moment
        owner = Owner.read(content)
        if owner is not None and owner.vanished():
            return True
        name, now = f"{partition}.{generation}", self._clock()
        seen = self._seen.get(partition)
        if seen is None or seen[:2] != (name, content):
            self._seen[partition] = name, content, now
            return False
        return now - seen[2] >= (owner.lease if owner else self.lease)

    def _create(self, partition: int, before: int) -> Claim | None:
        """Create the generation after ``before`` (0: there is none), and make sure that it is the one that counts."""
        path = self._path(partition, before + 1)
        owner = Owner.here(self.lease)
        descriptor = self._create_file(path)
        if descriptor is None:
            return None
        try:
            os.write(descriptor, owner.content(0))
            os.fsync(descriptor)
            generations = self._generations().get(partition, [])
            # A higher one: what we saw was old. The expired one is gone: it was released, or taken over and released.
            if max(generations, default=0) > before + 1 or (before and before not in generations):
                path.unlink(missing_ok=True)
                os.close(descriptor)
                return None
            for generation in generations:
                if generation <= before:
                    self._path(partition, generation).unlink(missing_ok=True)
            revoked: set[str] = set()
            # Again until none is left: another worker that tidies up may just have given one another name.
            while stale := {name for name in self._names() if staged_partition(name) == partition} - revoked:
                revoked |= {revoke(self.folder / name).name for name in stale}
            staging = Staging(self.folder, partition, owner.identifier)
        except BaseException as error:
            # While we were suspended, another worker took our claim over and removed the folder when it was done.
            is_lost = isinstance(error, FileNotFoundError) and not path.exists() and self.folder.parent.exists()
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                os.close(descriptor)
            if is_lost:
                return None
            raise
        self._seen.pop(partition, None)
        return Claim(path, descriptor, owner, staging)

    def _create_file(self, path: Path) -> int | None:
        """A new file, open for writing; None if there is one of this name."""
        for _ in range(10):
            self.folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # another worker removed the empty folder in between
                try:
                    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
                except FileExistsError:
                    return None
        raise StoreError(f"{self.folder} is removed again and again; who does that?")

    def _path(self, partition: int, generation: int) -> Path:
        return self.folder / f"{partition:06d}.{generation}"

    def _latest(self, partition: int) -> bytes | None:
        """What the claim on a partition says; None when nobody holds it."""
        generations = self._generations().get(partition)
        return self._content(partition, generations[-1]) if generations else None

    def _content(self, partition: int, generation: int) -> bytes | None:
        try:
            return self._path(partition, generation).read_bytes()
        except FileNotFoundError:
            return None

    def _names(self) -> list[str]:
        try:
            return [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []

    def _generations(self) -> dict[int, list[int]]:
        """Generations of the claims by partition, ascending; the last one counts."""
        found: dict[int, list[int]] = {}
        for name in self._names():
            partition, _, generation = name.partition(".")
            if partition.isdigit() and generation.isdigit():
                found.setdefault(int(partition), []).append(int(generation))
        return {partition: sorted(generations) for partition, generations in found.items()}


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not empty, or not there
        folder.rmdir()
