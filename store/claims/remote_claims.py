"""Claims and staging on an object store, by conditional writes alone.

A claim is an object, created only where there is none, and rewritten by its owner only where it is still the one that
the owner wrote. Objects appear whole, so there is no folder to stage files in: the fence of an owner that wakes up late
is that it replaces a shard only while that is the object it saw before it last looked at its claim. A taker replaces
the shards as well, so what the late owner saw is gone, and its writes are refused.
"""

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from vadprobe.store.claims.claims import Claims
from vadprobe.store.claims.owner import Owner
from vadprobe.store.claims.staging import ClaimLostError
from vadprobe.store.errors import StoreError
from vadprobe.store.files.remote_path import ChangedError, RemotePath

_TRIES = 5


class RemoteStaging:
    """What is to be put in place, in memory; the interface of ``staging.Staging``."""

    def __init__(self, claim: "RemoteClaim") -> None:
        self._claim = claim
        self._staged: dict[str, bytes] = {}

    def stage(self, name: str, pieces: Sequence[bytes]) -> None:
        """Keep the bytes of an object."""
        self._staged[name] = b"".join(pieces)

    def publish(self, name: str, final: Path) -> None:
        """Put an object in its place, replacing what is there.

        Raises:
            ClaimLostError: if another worker holds the partition by now.
            StoreError: if something else keeps writing there.
        """
        place, content = _remote(final), self._staged.pop(name)
        for _ in range(_TRIES):
            tag = _tag(place)
            self._claim.check()  # after the tag: whoever takes the partition over from here on changes it
            with contextlib.suppress(ChangedError, FileExistsError):
                place.replace_if(content, tag)
                return
        raise StoreError(f"{final} changed whenever it was about to be written; who else writes there?")

    def withdraw(self, final: Path) -> None:
        """Delete a shard; a record stays until it is replaced, because deleting knows no conditions.

        Until then it names shards of other sizes, or of values that were computed in the same way.
        """
        if final.suffix != ".json":
            self._claim.check()
            final.unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget what was not put in place."""
        self._staged.clear()


class RemoteClaim:
    """A partition held by this process; the interface of ``claims.Claim``."""

    def __init__(self, path: RemotePath, owner: Owner, tag: str | None) -> None:
        self.staging = RemoteStaging(self)
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
        self.staging.remove()
        with contextlib.suppress(OSError):
            if self._is_ours():
                self._path.unlink(missing_ok=True)

    def __enter__(self) -> "RemoteClaim":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _is_ours(self) -> bool:
        try:
            owner = Owner.read(self._path.read_bytes())
        except FileNotFoundError:
            return False
        return owner is not None and owner.identifier == self._owner.identifier

    def _live(self) -> None:
        """Count in our own object, as long as it is ours."""
        beat = 0
        while not self._released.wait(self._owner.lease / 4):
            beat += 1
            try:
                self._path.replace_if(self._owner.content(beat), self._tag)
                self._tag = _tag(self._path)
            except (ChangedError, FileExistsError):
                self._lost = not self._is_ours_or_unknown()
                self._tag = _tag_or(self._path, self._tag)
            except OSError:  # the object store may be away for a moment; if longer, the claim expires
                continue

    def _is_ours_or_unknown(self) -> bool:
        try:
            return self._is_ours()
        except OSError:
            return True


class RemoteClaims(Claims):
    """The claims in one backbone's folder on an object store, as one worker sees them over time."""

    def _create(self, partition: int, before: int) -> RemoteClaim | None:  # type: ignore[override]
        """Create the generation after ``before`` (0: there is none), and make sure that it is the one that counts."""
        path, owner = _remote(self._path(partition, before + 1)), Owner.here(self.lease)
        try:
            path.create(owner.content(0))
        except FileExistsError:
            return None
        try:
            generations = self._generations().get(partition, [])
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


def _remote(path: object) -> RemotePath:
    if not isinstance(path, RemotePath):
        raise TypeError(f"{path} is no URL.")
    return path


def _tag(path: RemotePath) -> str | None:
    """The tag of an object; None where there is none."""
    try:
        return path.stat().tag
    except FileNotFoundError:
        return None


def _tag_or(path: RemotePath, known: str | None) -> str | None:
    try:
        return _tag(path)
    except OSError:
        return known
