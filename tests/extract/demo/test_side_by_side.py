"""Jobs in processes of their own: all done, counted, and a clear end when a process is lost."""

import os
import signal
from pathlib import Path

import pytest

from vadprobe.extract.demo.side_by_side import run_side_by_side
from vadprobe.store.errors import VadprobeError


def write(path: Path, text: str) -> None:
    path.write_text(text)


def end_abruptly(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(path: Path) -> None:
    raise ValueError(path.name)


def test_every_job_is_done_and_counted_with_those_of_an_earlier_run(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    jobs = [(tmp_path / str(number), str(number)) for number in range(3)]
    run_side_by_side(write, jobs, workers=2, done=4, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(4, 7), (5, 7), (6, 7), (7, 7)]
    assert [path.read_text() for path, _ in jobs] == ["0", "1", "2"]


def test_a_process_that_the_system_ends_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(VadprobeError, match=r"ended from outside after 2 of 3 pieces.* use fewer workers"):
        run_side_by_side(end_abruptly, [(tmp_path,)], workers=1, done=2)


def test_an_error_of_a_job_is_raised_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one"):
        run_side_by_side(refuse, [(tmp_path / "one",)], workers=1)


def test_no_workers_is_this_process() -> None:
    calls: list[int] = []
    here: list[int] = []
    run_side_by_side(here.append, [(1,), (2,)], workers=0, done=4, progress=lambda done, _: calls.append(done))
    assert here == [1, 2]
    assert calls == [4, 5, 6]
