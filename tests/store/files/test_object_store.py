"""A server's refusal becomes a sentence with what to do, and whether a later try may help."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.builders import committed_store
from tests.support.processes.remote_servers import Faults, web_server
from vadprobe.store.errors import StoreError
from vadprobe.store.files import object_store
from vadprobe.store.files.location import location
from vadprobe.store.files.object_store import ForbiddenError, UnreachableError, request
from vadprobe.store.reading.feature_store import FeatureStore

exceptions = pytest.importorskip("obstore.exceptions", reason="the package for URLs is not installed")


def refuse(said: str) -> None:
    """Ask for something that the library cannot get, with its own words."""

    def action() -> None:
        raise exceptions.GenericError(said)

    request("s3://team/features", action)


def test_missing_credentials_are_said_as_such_at_once() -> None:
    with pytest.raises(ForbiddenError, match=r"the environment of this process has no credentials.*AWS_ACCESS_KEY_ID"):
        refuse("Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 1 s, status 403")


def test_a_server_that_gives_no_answer_may_be_asked_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store.time, "sleep", lambda seconds: None)
    with pytest.raises(UnreachableError, match=r"s3://team/features cannot be reached: Generic"):
        refuse("Generic S3 error: connection refused")


def test_rows_behind_a_server_without_ranges_are_refused_with_what_helps(tmp_path: Path) -> None:
    store = committed_store(tmp_path, 40).path
    with web_server(tmp_path, Faults(), knows_ranges=False) as url:
        place = location(f"{url}/{store.relative_to(tmp_path)}")
        with pytest.raises(
            StoreError, match=r"does not know the header Range\. Copy the store with 'vadprobe pull'"
        ) as e:
            FeatureStore.open(place).answer_logits(np.arange(3))
    assert "then extract again" not in str(e.value)
