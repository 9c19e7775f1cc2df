"""Claims on an object store, made with conditional writes alone.

A claim is the object `<partition>.<generation>`, created only if no such object exists. Its owner counts a heartbeat up
in it, and only while the object is the one that the owner wrote last. A worker that wants the partition watches this
counter by its own clock, so the clocks of two machines need not agree. A claim has expired when its counter stood still
for the whole lease, or when its process has ended on this machine. It is taken over by creating the next generation,
which succeeds for one worker only.

Objects appear whole, so there is no folder to stage files in. A suspended owner that wakes up too late cannot overwrite
the work of its successor: before each check of its claim it notes the tag of the shard, and it replaces the shard only
while that tag is unchanged. The successor has written the shards anew, so their tags differ and the late write is
refused.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

from vadprobe.store.claims.claim import FOLDER, UNNAMED, Claim, ClaimLostError, Claims, Verdict
from vadprobe.store.claims.owner import Owner
from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.object_store import ChangedError
from vadprobe.store.files.remote_path import RemotePath

LEASE = 60.0
"""Seconds without a heartbeat after which a claim is free; its owner writes four heartbeats in that time."""

_TRIES = 5


class RemoteStaging:
    """Staged objects of a partition, kept in memory until they are published."""

    def __init__(self, claim: "RemoteClaim") -> None:
        self._claim = claim
        self._staged: dict[str, bytes] = {}

    def stage(self, name: str, pieces: Sequence[bytes]) -> None:
        """Keep the bytes of an object in memory until it is published."""
        self._staged[name] = b"".join(pieces)

    def publish(self, name: str, final: StorePath) -> None:
        """Write a staged object to its place, replacing an earlier one.

        Raises:
            ClaimLostError: if another worker holds the partition by now.
            StoreError: if something else keeps writing there.
        """
        assert is_remote(final)
        content = self._staged.pop(name)
        for _ in range(_TRIES):
            tag = _tag(final)
            self._claim.check()  # after the tag: whoever takes the partition over from here on changes it
            with contextlib.suppress(ChangedError, FileExistsError):
                final.replace_if(content, tag)
                return
        raise StoreError(
            f"{final} changed each time it was about to be written; find the other program "
            "that writes there, and end it."
        )

    def withdraw(self, final: StorePath) -> None:
        """Delete a shard. A record is left until it is replaced, because an object cannot be deleted under a condition.

        Until then the old record either names shards of other sizes, so it does not count, or the same values.
        """
        if final.suffix != ".json":
            self._claim.check()
            final.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget all staged objects that were not published."""
        self._staged.clear()


class RemoteClaim(Claim):
    """Claim on a partition whose newest claim object was written by this process."""

    def __init__(self, path: RemotePath, owner: Owner, tag: str | None) -> None:
        self.staging: RemoteStaging = RemoteStaging(self)
        self._path, self._owner, self._tag = path, owner, tag
        self._lost = False
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._live, name="claim", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise an error if this worker no longer holds the partition.

        Raises:
            ClaimLostError: if another worker took the partition over.
        """
        if self._lost or not self._is_ours():
            raise ClaimLostError(
                f"partition {int(self._path.stem)} below {self._path.parents[1]} was taken over by another worker, "
                "because this process was suspended or cut off from the object store. That worker computes it; nothing "
                "is lost."
            )

    def release(self) -> None:
        """Give the partition back; further calls do nothing."""
        if self._released.is_set():
            return
        self._released.set()
        self._thread.join()
        self.staging.clear()
        with contextlib.suppress(OSError):
            if self._is_ours():
                self._path.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        try:
            owner = Owner.read(self._path.read_bytes())
        except FileNotFoundError:
            return False
        return owner is not None and owner.identifier == self._owner.identifier

    def _live(self) -> None:
        """Write a heartbeat into the claim's object at intervals, until the claim is released or lost."""
        beat = 0
        while not self._released.wait(self._owner.lease / 4):
            beat += 1
            with contextlib.suppress(OSError):  # the store may be away for a moment; if longer, the claim expires
                try:
                    self._path.replace_if(self._owner.content(beat), self._tag)
                except (ChangedError, FileExistsError):
                    self._lost = not self._is_ours()
                self._tag = _tag(self._path)


class RemoteClaims(Claims):
    """The claims in one backbone's folder on an object store, as one worker sees them over time.

    Args:
        folder: the backbone's folder, `<sampling>/<backbone>`.
        lease: seconds without a heartbeat after which a claim of ours is free; by default `LEASE`.
        clock: seconds that never go back; not the time of day.
    """

    folder: RemotePath

    def __init__(
        self, folder: RemotePath, lease: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = folder / FOLDER
        self.lease = LEASE if lease is None else lease
        self._clock = clock
        self._seen: dict[int, tuple[str, bytes, float]] = {}

    def _take(self, partition: int) -> Claim | None:
        """Claim a partition. An expired claim is recognised by two calls that are at least its lease apart."""
        generations = self._generations(partition)
        if generations and not self._expired(partition, generations[-1]):
            return None
        return self._create(partition, generations[-1] if generations else 0)

    def hold(self, partition: int) -> Claim:
        """Claim a partition; where its owner may have ended, watch for heartbeats for the length of a lease first.

        Raises:
            StoreError: if another worker holds it and lives, naming that worker.
        """
        before = self._latest(partition)
        while (claim := self.take(partition)) is None:
            now = self._latest(partition)
            owner = Owner.read(now or b"")
            if now and (now != before or (owner is not None and owner.runs_here())):
                raise self._held_elsewhere(partition)
            time.sleep(min(1.0, self.lease / 20))
        return claim

    def holder(self, partition: int) -> str | None:
        """Return the process and host that the newest claim names; None if there is no claim."""
        content = self._latest(partition)
        if content is None:
            return None
        owner = Owner.read(content)
        return owner.name if owner else UNNAMED

    def judge(self, partition: int) -> tuple[Verdict, str]:
        """Return the verdict on the claims of a partition, with the reason; change nothing."""
        owner = Owner.read(self._latest(partition) or b"")
        if owner is None:
            return "wait", f"claimed by {UNNAMED}"
        if owner.vanished():
            return "delete", f"claimed by {owner.name}, which has ended"
        if owner.runs_here():
            return "keep", f"claimed by {owner.name}, which is running"
        return "wait", f"claimed by {owner.name}; {owner.lease:.0f} s without a heartbeat show that it has ended"

    def tidy(self) -> float:
        """Delete claims of processes that have ended on this machine, and claims that were seen to expire.

        Returns:
            The longest lease among the claims that were seen and may expire; 0 when there are none.
        """
        leases = [0.0]
        for partition in self.entries():
            owner = Owner.read(self._latest(partition) or b"")
            if owner is not None and owner.runs_here():
                continue
            if claim := self.take(partition):
                claim.release()
            else:
                leases.append(owner.lease if owner else self.lease)
        return max(leases)

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

    def _create(self, partition: int, before: int) -> RemoteClaim | None:
        """Create the generation after `before` (0 if there is none); return the claim if that generation counts."""
        path, owner = self._path(partition, before + 1), Owner.here(self.lease)
        try:
            path.create(owner.content(0))
        except FileExistsError:
            return None
        try:
            generations = self._generations(partition)
            # A higher one: what we saw was old. The expired one is gone: it was released, or taken over and released.
            if max(generations, default=0) > before + 1 or (before and before not in generations):
                path.unlink(missing_ok=True)
                return None
            for generation in generations:
                if generation <= before:
                    self._path(partition, generation).unlink(missing_ok=True)
            self._seen.pop(partition, None)
            return RemoteClaim(path, owner, _tag(path))
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise

    def _path(self, partition: int, generation: int) -> RemotePath:
        return self.folder / f"{partition:06d}.{generation}"

    def _latest(self, partition: int) -> bytes | None:
        """Return the content of the newest claim on a partition; None when nobody holds it."""
        generations = self._generations(partition)
        return self._content(partition, generations[-1]) if generations else None

    def _content(self, partition: int, generation: int) -> bytes | None:
        try:
            return self._path(partition, generation).read_bytes()
        except FileNotFoundError:
            return None

    def _generations(self, partition: int) -> list[int]:
        """Return the generations of the claims on a partition, ascending; the last one counts."""
        endings = [path.name.partition(".")[2] for path in self.entries().get(partition, [])]
        return sorted(int(ending) for ending in endings if ending.isdigit())


def _tag(path: RemotePath) -> str | None:
    """Return the tag of an object; None where there is none."""
    try:
        return path.stat().tag
    except FileNotFoundError:
        return None
