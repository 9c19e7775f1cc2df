"""A store for the tests of verification, and a copy of it that a test may damage."""

import shutil

import pytest

from tests.store.verification.damage import FAILURES, N_CLIPS
from tests.support.builders import committed_store


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The path of a committed store of two partitions, each with a failed row. Nothing may change it."""
    return committed_store(tmp_path_factory.mktemp("whole"), N_CLIPS, failures=FAILURES).path


@pytest.fixture
def own(tmp_path, whole):
    """The path of a copy that a test may damage."""
    shutil.copytree(whole.parents[3], tmp_path / "copy")
    return tmp_path / "copy" / whole.relative_to(whole.parents[3])
