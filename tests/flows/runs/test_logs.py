"""The run's log has what vadprobe says and each warning of a library once, and no secret."""

import logging
import threading
import warnings
from typing import Any

import pytest

from vadprobe.flows.runs import logs
from vadprobe.flows.runs.logs import log_of_run, without_secrets


class RunLogger:
    """Stand-in of a run's logger."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, level: int, line: str) -> None:
        self.lines.append(f"{logging.getLevelName(level)} {line}")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lines of the run's log."""
    run: Any = RunLogger()
    monkeypatch.setattr(logs, "get_run_logger", lambda: run)
    return run.lines  # type: ignore[no-any-return]


def test_libraries_say_each_warning_once_and_nothing_less(lines: list[str]) -> None:
    before = logging.getLogger("distributed").level
    with log_of_run():
        for number in range(3):
            logging.getLogger("vadprobe.store").info("partition %d", number)
            logging.getLogger("distributed.worker").info("starting")
            logging.getLogger("distributed.worker").warning("memory is short")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("old interface", FutureWarning, stacklevel=1)
        thread = threading.Thread(target=logging.getLogger("dask").error, args=("a task failed",))
        thread.start()
        thread.join()
    logging.getLogger("distributed").warning("after the run")
    said = [line.splitlines()[0] for line in lines]
    assert [line for line in said if "vadprobe" not in line and "interface" not in line] == [
        "INFO partition 0",
        "WARNING distributed.worker: memory is short",
        "INFO partition 1",
        "INFO partition 2",
        "ERROR dask: a task failed",
    ]
    assert sum("FutureWarning: old interface" in line for line in said) == 1
    assert logging.getLogger("distributed").level == before


def test_secrets_are_in_no_line(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG")
    with log_of_run():
        logging.getLogger("vadprobe").error("PUT with wJalrXUtnFEMI/K7MDENG failed")
        logging.getLogger("vadprobe").info("reading rtsp://user:geheim@camera:554/live and https://a.b/c?X-Sig=abc")
    assert lines == [
        "ERROR PUT with *** failed",
        "INFO reading rtsp://***@camera:554/live and https://a.b/c?X-Sig=***",
    ]
    assert without_secrets("s3://team/features of http://127.0.0.1:8787/status") == (
        "s3://team/features of http://127.0.0.1:8787/status"
    )
