"""One writer at a time on one machine: two processes on the same shard would silently lose rows."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vadprobe.store.errors import StoreError


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; it is released when the process ends, however it ends.

    Raises:
        StoreError: if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"another process is writing features below {folder}; wait for it to finish, or stop it."
            ) from error
        yield
