"""A pool of threads that check shards, which can be stopped within a shard.

Threads are enough: reading, digesting and decompressing all release Python's lock.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from vadprobe.store.verification.shard_check import ShardCheck, ShardFinding, check_shard


class CheckPool:
    """Pool of threads that check shards, a context manager. Leaving its block stops all checks, also within a shard."""

    def __init__(self, workers: int) -> None:
        self.ahead = 3 * workers
        """Number of shards to submit before the first result is asked for, so that no thread is idle."""
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
