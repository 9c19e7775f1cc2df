"""Faults that may pass are tried again, others are not, and no work ends because the server is away."""

import errno
import logging
from typing import Any

import httpx
import pytest

from vadprobe.flows.runs import faults
from vadprobe.flows.runs.faults import may_pass, stop_if_suspended
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.object_store import ForbiddenError, NoListingError, UnreachableError


class OutOfMemoryError(RuntimeError):
    """A stand-in of torch's."""


def caused(error: Exception) -> Exception:
    """Wrap an error as the store's readers do."""
    try:
        raise StoreError("partition 0") from error
    except StoreError as wrapped:
        return wrapped


@pytest.mark.parametrize(
    "error",
    [
        UnreachableError("no answer"),
        caused(UnreachableError("no answer")),
        ConnectionResetError(),
        TimeoutError(),
        OSError(errno.ESTALE, "stale file handle"),
        OutOfMemoryError(),
    ],
)
def test_network_object_store_and_device_memory_may_pass(error: Exception) -> None:
    assert may_pass(error)


@pytest.mark.parametrize(
    "error",
    [
        VadprobeError("wrong"),
        ForbiddenError("s3://bucket", "no credentials"),
        NoListingError("a web server"),
        OSError(errno.ENOSPC, "disk full"),
        PermissionError(errno.EACCES, "not allowed"),
        FileNotFoundError("gone"),
        ZeroDivisionError(),
    ],
)
def test_wrong_input_and_lacking_rights_stay(error: Exception) -> None:
    assert not may_pass(error)


def test_the_work_goes_on_where_the_server_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(**_: Any) -> Any:
        raise httpx.ConnectError("connection refused")

    monkeypatch.setattr(faults.runtime.flow_run, "id", "0" * 32, raising=False)
    monkeypatch.setattr(faults, "get_client", away)
    with caplog.at_level(logging.WARNING, faults.__name__):
        stop_if_suspended()
    assert "does not answer; the work goes on. ConnectError: connection refused" in caplog.text
