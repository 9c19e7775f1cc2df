"""Log of a run: what the project logs appears in it, what libraries print does not."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger


class _ToRun(logging.Handler):
    """Handler that passes records on to the logger of the current task or flow run."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            logger: Any = get_run_logger()
        except MissingContextError:  # another thread, of a library
            return
        logger.log(record.levelno, self.format(record))


@contextmanager
def log_of_run() -> Iterator[None]:
    """Let what vadprobe logs appear in the run's log, with any settings of Prefect, and quiet what repeats itself."""
    logger, handler = logging.getLogger("vadprobe"), _ToRun()
    noisy = [logging.getLogger(name) for name in ("distributed", "transformers", "httpx")]
    before = [each.level for each in (logger, *noisy)]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    propagated, logger.propagate = logger.propagate, False  # Prefect's root handler would print each line once more
    for each in noisy:
        each.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
        for each, level in zip((logger, *noisy), before, strict=True):
            each.setLevel(level)
