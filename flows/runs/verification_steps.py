"""Step of a whole verification as a task, one for each store."""

import logging

from vadprobe.flows.runs.faults import step
from vadprobe.flows.runs.loading import run_folder
from vadprobe.store.files.location import StorePath, is_remote, location
from vadprobe.store.files.text import counted, size_text

_LOGGER = logging.getLogger(__name__)


def stores_at(place: str) -> list[StorePath]:
    """Return the stores at a place: a store itself, or all below a folder or bucket.

    Raises:
        VadprobeError: if there is none.
    """
    from vadprobe.store.catalog.finding import stores_below
    from vadprobe.store.verification.verify import is_store

    found = location(place)
    path = found if is_remote(found) else run_folder() / found
    return [path] if is_store(path) else list(stores_below(path))


def verify_whole(store: StorePath, resume: bool) -> list[str]:
    """Read a store to its end, and return its problems."""
    from vadprobe.store.verification.verify import verify

    found = verify(store, resume=resume)
    for problem in found.problems:
        _LOGGER.error(str(problem))
    _LOGGER.info(
        "%s: %s (%d failed), %s read: %s",
        store,
        counted(found.n_rows, "row"),
        found.n_failed,
        size_text(found.n_bytes),
        counted(len(found.problems), "problem") if found.problems else "sound",
    )
    return [str(problem) for problem in found.problems]


verify_whole_task = step(verify_whole, "verify", "verify {store.parent.parent.name}/{store.stem}")
