"""Two processes add their gradients; what becomes of one that ends before its time, or lets the other wait."""

import sys
import time
from datetime import timedelta

import pytest

pytest.importorskip("torch")

import torch

from vadprobe.extract.demo.captioner.training import processes
from vadprobe.extract.demo.captioner.training.processes import add_over_processes, second_process
from vadprobe.store.errors import VadprobeError

GOES_ON = "the same command continues. With --workers 1 it trains in one process"


def give(value: float) -> None:
    """Stand in for the work of a second process that takes one step."""
    add_over_processes([torch.full((2,), value), torch.full((1, 3), -value)])


def end_at_once() -> None:
    """Stand in for the work of a second process that fails."""
    raise SystemExit(3)


def fall_asleep() -> None:
    """Stand in for the work of a second process that does not go on."""
    time.sleep(600)


def test_gradients_become_their_sums() -> None:
    gradients = [torch.arange(2.0), torch.ones(1, 3)]
    with second_process(give, 10.0):
        add_over_processes(gradients)
    assert [gradient.tolist() for gradient in gradients] == [[10.0, 11.0], [[-9.0, -9.0, -9.0]]]
    assert not torch.distributed.is_initialized()


def test_a_second_process_that_cannot_begin_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(VadprobeError, match=rf"could not begin\. .*{GOES_ON}"), second_process(end_at_once):
        raise AssertionError("the block must not be entered")
    assert not torch.distributed.is_initialized()


def test_a_second_process_that_fails_at_work_is_an_error() -> None:
    with pytest.raises(VadprobeError, match=f"ended with exit code 3.*{GOES_ON}"), second_process(end_at_once):
        add_over_processes([torch.ones(2)])
    assert not torch.distributed.is_initialized()


def test_a_second_process_that_lets_the_first_one_wait_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_PATIENCE", timedelta(seconds=1))
    monkeypatch.setattr(processes, "_GRACE", 0.1)
    with pytest.raises(VadprobeError, match=f"does not answer.*{GOES_ON}"), second_process(fall_asleep):
        add_over_processes([torch.ones(2)])
    assert not torch.distributed.is_initialized()


def test_an_error_of_the_first_process_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="of its own"), second_process(fall_asleep):
        raise RuntimeError("an error of its own")
    assert not torch.distributed.is_initialized()
