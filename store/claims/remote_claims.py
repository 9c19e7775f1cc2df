"""Claims on an object store, by conditional writes alone.

A claim is the object `<partition>.<generation>`, created only where there is none. Its owner rewrites a counter in it,
as a heartbeat, only where it is still the object that the owner wrote; whoever wants the partition watches that counter
on a clock of its own, so clocks need not agree. A claim whose counter stood still for the lease, or whose process is
gone from this machine, is taken over by creating the next generation: of several takers one can.

Objects appear whole, so there is no folder to stage files in. An owner that wakes up late is kept out like this: it
replaces a shard only while that is the object it saw before it last looked at its claim. A taker replaces the shards as
well, so what the late owner saw is gone, and its writes are refused.
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
"""Seconds without a heartbeat after which a claim is free; its owner gives four in that time."""

_TRIES = 5


class RemoteStaging:
    """Objects of a partition that are to be put in place, kept in memory."""

    def __init__(self, claim: "RemoteClaim") -> None:
        self._claim = claim
        self._staged: dict[str, bytes] = {}

    def stage(self, name: str, pieces: Sequence[bytes]) -> None:
        """Keep the bytes of an object."""
        self._staged[name] = b"".join(pieces)

    def publish(self, name: str, final: StorePath) -> None:
        """Put an object in its place, replacing what is there.

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
        """Delete a shard; a record stays until it is replaced, because deleting knows no conditions.

        Until then it names shards of other sizes, or of values that were computed in the same way.
        """
        if final.suffix != ".json":
            self._claim.check()
            final.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget what was not put in place."""
        self._staged.clear()


class RemoteClaim(Claim):
    """A partition whose newest claim object is of this process."""

    def __init__(self, path: RemotePath, owner: Owner, tag: str | None) -> None:
        self.staging: RemoteStaging = RemoteStaging(self)
        self._path, self._owner, self._tag = path, owner, tag
        self._lost = False
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._live, name="claim", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Stop the work if it is not ours any more.

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
        """Give the partition back; may be repeated."""
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
        """Count in our own object at every heartbeat, as long as it is ours."""
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
        """Claim a partition. It is seen to have expired only by asking for it again, the lease apart."""
        generations = self._generations(partition)
        if generations and not self._expired(partition, generations[-1]):
            return None
        return self._create(partition, generations[-1] if generations else 0)

    def hold(self, partition: int) -> Claim:
        """Claim a partition; where its owner may be gone, watch for heartbeats for a lease first.

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
        """Return the process and host that the newest claim names; None when there is none."""
        content = self._latest(partition)
        if content is None:
            return None
        owner = Owner.read(content)
        return owner.name if owner else UNNAMED

    def judge(self, partition: int) -> tuple[Verdict, str]:
        """Return what may become of the claims on a partition, and why; nothing is changed."""
        owner = Owner.read(self._latest(partition) or b"")
        if owner is None:
            return "wait", f"claimed by {UNNAMED}"
        if owner.vanished():
            return "delete", f"claimed by {owner.name}, which has ended"
        if owner.runs_here():
            return "keep", f"claimed by {owner.name}, which is running"
        return "wait", f"claimed by {owner.name}; {owner.lease:.0f} s without a heartbeat show that it has ended"

    def tidy(self) -> float:
        """Delete claims of processes that are gone from this machine, and those that were seen to expire.

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
        """Create the generation after `before` (0: there is none), and make sure that it is the one that counts."""
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
        """Return what the claim on a partition says; None when nobody holds it."""
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
