"""Log of a run: all that the project logs, and each warning of a library once, without secrets."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

from vadprobe.detect.sources.masking import SECRET, masked

LIBRARIES = ("asyncio", "av", "dask", "distributed", "httpx", "libav", "py.warnings", "torch", "transformers", "zarr")
"""Loggers of libraries, of which a run's log shows only warnings and errors."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|ACCOUNT_KEY|ACCESS_KEY$|API_KEY|AUTH_STRING")
_SHORTEST = 8  # letters of a secret; shorter ones would hide words


def without_secrets(text: str) -> str:
    """Return a text without user, password and query of URLs, and without the secrets of this environment."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _SECRET_NAME.search(name.upper()):
            text = text.replace(value, SECRET)
    return _URL.sub(lambda found: masked(found[0]) if "@" in found[0] or "?" in found[0] else found[0], text)


class _ToRun(logging.Handler):
    """Handler that passes records on to the logger of the current task or flow run."""

    def __init__(self, run_logger: Any) -> None:
        super().__init__()
        self._run_logger = run_logger  # of the flow, for the threads of libraries
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = without_secrets(self.format(record))
        if not record.name.startswith("vadprobe"):
            if line in self._said:
                return
            self._said.add(line)
            line = f"{record.name}: {line}"
        try:
            logger: Any = get_run_logger()
        except MissingContextError:
            logger = self._run_logger
        if logger is not None:
            logger.log(record.levelno, line)


@contextmanager
def log_of_run() -> Iterator[None]:
    """Show inside what vadprobe logs, and the warnings of libraries, in the run's log, whatever Prefect's settings."""
    if any(isinstance(handler, _ToRun) for handler in logging.getLogger("vadprobe").handlers):
        yield  # of a run within a run: lines appear in the inner one's log already
        return
    loggers = [logging.getLogger(name) for name in ("vadprobe", *LIBRARIES)]
    before = [(one, one.level, one.propagate) for one in loggers]
    handler = _ToRun(_current())
    logging.captureWarnings(True)
    for one in loggers:
        one.addHandler(handler)
        one.setLevel(logging.INFO if one.name == "vadprobe" else logging.WARNING)
        one.propagate = False  # Prefect's root handler would print each line once more
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for one, level, propagates in before:
            one.removeHandler(handler)
            one.setLevel(level)
            one.propagate = propagates


def _current() -> Any:
    """Return the logger of the current run; None outside of one."""
    try:
        return get_run_logger()
    except MissingContextError:
        return None
