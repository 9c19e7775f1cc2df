"""Locks: one holder at a time, free when the holder ends, however it ends."""

import errno
import fcntl
import signal
import subprocess
import sys

import pytest

from tests.support.builders import tree
from vadprobe.store.errors import StoreError
from vadprobe.store.files import locks
from vadprobe.store.files.locks import is_locked, lock, sole_planner, unlock

HOLDER = """
import sys
from pathlib import Path
from vadprobe.store.files.locks import sole_planner
with sole_planner(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `tmp_path / "features"` until a line is sent to it."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "features")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_waits_for_the_first_and_is_refused_when_its_patience_ends(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    folder = tmp_path / "features"
    with (
        pytest.raises(StoreError, match=rf"another process has been creating or committing a store in {folder} for"),
        sole_planner(folder),
    ):
        pytest.fail("two planners at once")
    with sole_planner(tmp_path / "other"):
        pass
    holder.communicate("\n")
    with sole_planner(folder):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with sole_planner(tmp_path / "features"):
        pass


def test_the_lock_is_free_after_an_error_and_holds_within_one_process(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)

    def fail():
        with sole_planner(tmp_path / "deep" / "features"):
            raise RuntimeError("the model ran out of memory")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of memory"):
            fail()
    with sole_planner(tmp_path), pytest.raises(StoreError, match="another process"), sole_planner(tmp_path):
        pytest.fail("two planners at once")


def test_a_lock_is_of_the_file_that_is_there(tmp_path, monkeypatch):
    """Between opening a file and locking it, the holder deletes it with its folder, and a third one locks a new one."""
    path, flock, held = tmp_path / "folder" / "lock", fcntl.flock, []
    first = lock(path)

    def overtaken(file, operation):
        monkeypatch.setattr(locks.fcntl, "flock", flock)
        path.unlink()
        path.parent.rmdir()
        unlock(first)
        held.append(lock(path))
        flock(file, operation)  # of the deleted file: it is free

    monkeypatch.setattr(locks.fcntl, "flock", overtaken)
    assert lock(path) is None
    assert is_locked(path)
    unlock(held[0])
    assert not is_locked(path)
    unlock(lock(path))


def test_a_released_lock_is_free_though_a_forked_child_shares_it(tmp_path):
    program = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from vadprobe.store.files.locks import is_locked, lock, unlock\n"
        "path = Path(sys.argv[1])\n"
        "file = lock(path)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    time.sleep(600)\n"
        "assert is_locked(path)\n"
        "unlock(file)\n"
        "print(is_locked(path))\n"
        "os.kill(child, 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "lock")], capture_output=True, check=True)
    assert ended.stdout == b"False\n"


def test_looking_at_a_lock_changes_nothing(tmp_path):
    assert not is_locked(tmp_path / "none" / "lock")
    assert tree(tmp_path) == {}


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with pytest.raises(StoreError, match=rf"{tmp_path} does not support file locks \(No locks available\); mount that"):
        lock(tmp_path / "lock")
