"""Shards checked by several threads, and an end to all of them when asked.

Threads are enough: reading, digesting and decompressing all release Python's lock.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from vadprobe.store.verification.shard_check import ShardCheck, ShardFinding, check_shard


class CheckPool:
    """Threads that check shards, a context manager. Leaving the block ends a shard that is being read where it is."""

    def __init__(self, workers: int) -> None:
        self.ahead = 3 * workers
        """Shards that are worth submitting before the first result is asked for."""
        self._threads = ThreadPoolExecutor(workers, "check")
        self._stop = Event()

    def submit(self, check: ShardCheck) -> Future[ShardFinding]:
        """Begin to check a shard."""
        return self._threads.submit(check_shard, check, self._stop.is_set)

    def __enter__(self) -> "CheckPool":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads.shutdown(cancel_futures=True)
