"""Schedulers: the same results in order, errors with names, nothing left pending, BLAS on one thread each."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from tests.support import profiles
from tests.support.processes.clusters import RunningCluster, running_cluster
from tests.support.strategies import MODERATE
from vadprobe.analyze.compute import pools
from vadprobe.analyze.compute.blas_threads import one_thread
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.scheduling import Scheduler, Task
from vadprobe.store.errors import StoreError, VadprobeError

DEATHS = 4 if profiles.LONG else 1
"""Workers that die of a task before Dask gives it up: its own setting, or a single one, as each start takes time."""
IN_PROCESS = [("synchronous", 0), ("threads", 1), ("threads", 3)]


def numbers(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((60, 60))
    return np.asarray(np.linalg.inv(values @ values.T + np.eye(60)).sum(axis=0))


def tasks_of(count: int) -> list[Task]:
    return [Task(f"draw {seed}", numbers, (seed,)) for seed in range(count)]


def blas_threads() -> list[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def fail(error: type[Exception], words: str) -> None:
    raise error(words)


def leave_a_mark(folder: Path, number: int, allowed: threading.Event | None = None) -> int:
    """Once it is allowed."""
    assert allowed is None or allowed.wait(300)
    (folder / str(number)).touch()
    return number


def die_once(mark: Path, number: int) -> int:
    """Kill the worker that computes the first of these."""
    if number == 5 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def always_die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], RunningCluster]]:
    """Give a cluster with a scheduler and enough workers that live: the last one, or a new one of two workers."""
    found: list[RunningCluster] = []
    with ExitStack() as stack:

        def running(least: int) -> RunningCluster:
            if found and found[-1].scheduler.poll() is None and len(living(found[-1])) >= least:
                return found[-1]
            found.append(stack.enter_context(running_cluster(tmp_path_factory.mktemp("cluster"), 2)))
            return found[-1]

        yield running


@pytest.fixture
def running(started: Callable[[int], RunningCluster]) -> RunningCluster:
    return started(1)


@pytest.fixture(scope="module")
def processes() -> Iterator[Scheduler]:
    """Two processes; a task is given up after `DEATHS`."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": DEATHS - 1}),
        open_scheduler("processes", 2) as scheduler,
    ):
        yield scheduler


def living(cluster: RunningCluster) -> "list[subprocess.Popen[bytes]]":
    return [worker for worker in cluster.workers if worker.poll() is None]


@pytest.mark.parametrize(("name", "workers"), IN_PROCESS)
def test_results_come_in_the_order_of_the_tasks_bit_by_bit(name: str, workers: int) -> None:
    with open_scheduler(name, workers) as scheduler:
        found = scheduler.run(tasks_of(20))
    assert [values.tobytes() for values in found] == [numbers(seed).tobytes() for seed in range(20)]


@MODERATE
@given(delays=st.lists(st.sampled_from([0.0, 0.001, 0.004]), max_size=12), workers=st.integers(1, 4))
def test_the_order_does_not_depend_on_who_is_first(delays: list[float], workers: int) -> None:
    def wait(number: int, seconds: float) -> int:
        time.sleep(seconds)
        return number

    with open_scheduler("threads", workers) as scheduler:
        found = scheduler.run([Task("wait", wait, (i, seconds)) for i, seconds in enumerate(delays)])
    assert found == list(range(len(delays)))


def test_processes_give_the_same_bits(processes: Scheduler) -> None:
    wanted = [numbers(seed).tobytes() for seed in range(30)]
    assert [values.tobytes() for values in processes.run(tasks_of(30))] == wanted
    assert {count for counts in processes.run([Task("count", blas_threads)] * 4) for count in counts} == {1}


def test_a_task_that_always_kills_its_worker_is_named(processes: Scheduler) -> None:
    with pytest.raises(VadprobeError, match=f"layer 9: {DEATHS} workers died"):
        processes.run([Task("layer 9", always_die)])


@pytest.mark.slow
def test_a_cluster_by_address_gives_the_same_bits(running: RunningCluster) -> None:
    wanted = [numbers(seed).tobytes() for seed in range(30)]
    for _ in range(2):  # the cluster outlives a client
        with open_scheduler(running.address, 0) as scheduler:
            assert [values.tobytes() for values in scheduler.run(tasks_of(30))] == wanted
            counts = scheduler.run([Task("count", blas_threads)] * 4)
            assert {count for found in counts for count in found} == {1}


def test_progress_counts_every_task_once() -> None:
    seen: list[tuple[int, int, str]] = []
    with open_scheduler("threads", 2, lambda *told: seen.append(told)) as scheduler:
        scheduler.run(tasks_of(7), what="layers")
        scheduler.run([], what="nothing")
    assert seen == [(done, 7, "layers") for done in range(1, 8)]


class Counted(Sequence[Task]):
    """Counts the tasks that were taken of many."""

    def __init__(self, tasks: list[Task]) -> None:
        self.tasks, self.taken = tasks, 0

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, index: Any) -> Any:
        self.taken += 1
        return self.tasks[index]


@pytest.mark.parametrize(("name", "workers"), IN_PROCESS)
def test_few_tasks_are_under_way_however_many_there_are(name: str, workers: int) -> None:
    tasks = Counted([Task("number", int, (number,)) for number in range(1000)])
    with open_scheduler(name, workers) as scheduler:
        results = scheduler.results(tasks)
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        assert tasks.taken <= 5 + 4 * max(1, workers)
        results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "workers"), IN_PROCESS)
def test_the_failed_task_is_named_and_what_is_pending_is_not_computed(tmp_path: Path, name: str, workers: int) -> None:
    caught = threading.Event()
    tasks = [Task(f"mark {number}", leave_a_mark, (tmp_path, number)) for number in range(3)]
    tasks += [Task(f"mark {number}", leave_a_mark, (tmp_path, number, caught)) for number in range(3, 40)]
    tasks[3] = Task("layer 3 of 'coarse'", fail, (StoreError, "the shard is damaged."))
    tasks[4] = Task("layer 4 of 'coarse'", fail, (VadprobeError, "this one as well."))
    with open_scheduler(name, workers) as scheduler:
        with pytest.raises(StoreError, match=r"^layer 3 of 'coarse': the shard is damaged\.$"):
            scheduler.run(tasks)
        caught.set()
        assert scheduler.run(tasks_of(2))[1].tobytes() == numbers(1).tobytes()  # and it goes on
    assert len(list(tmp_path.iterdir())) <= 3 + workers  # what came before, and what had begun


def test_an_unforeseen_error_stays_what_it_is_and_names_its_task() -> None:
    with (
        open_scheduler("synchronous", 0) as scheduler,
        pytest.raises(ZeroDivisionError) as caught,
    ):
        scheduler.run([Task("layer 7", fail, (ZeroDivisionError, "by zero"))])
    assert caught.value.__notes__ == ["while computing layer 7"]


def test_an_interrupt_cancels_what_is_pending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closing = threading.Event()
    tasks = [Task(f"mark {number}", leave_a_mark, (tmp_path, number, closing)) for number in range(60)]
    tasks[0] = Task("mark 0", leave_a_mark, (tmp_path, 0))

    class Pool(ThreadPoolExecutor):
        """Says when it is closed, and what is pending cancelled."""

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            closing.set()
            super().shutdown(wait=wait)

    def interrupt(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pools, "ThreadPoolExecutor", Pool)
    with pytest.raises(KeyboardInterrupt), open_scheduler("threads", 2, interrupt) as scheduler:
        scheduler.run(tasks)
    assert len(list(tmp_path.iterdir())) <= 1 + 2  # the first, and what had begun on each thread


def test_limits_of_several_threads_end_with_the_last() -> None:
    before = blas_threads()
    inside, leave = threading.Barrier(3), threading.Event()

    def hold() -> None:
        with one_thread():
            inside.wait()
            leave.wait()

    holders = [threading.Thread(target=hold) for _ in range(2)]
    for holder in holders:
        holder.start()
    inside.wait()
    with one_thread():
        assert set(blas_threads()) <= {1}
    assert set(blas_threads()) <= {1}, "others are still inside"
    leave.set()
    for holder in holders:
        holder.join()
    assert blas_threads() == before


@pytest.mark.parametrize("name", ["clusters", "localhost:8786", "tcp://host", "tcp://:8786", "tcp://host:99999", ""])
def test_a_name_that_is_none_is_a_sentence(name: str) -> None:
    with pytest.raises(VadprobeError, match=r"such as 'tcp://localhost:8786'.*got"), open_scheduler(name, 1):
        pass


def test_a_negative_number_of_workers_is_a_sentence() -> None:
    with (
        pytest.raises(VadprobeError, match=r"from 0 .*, got -1"),
        open_scheduler("threads", -1),
    ):
        pass


@pytest.mark.parametrize("listens", [False, True])
def test_an_address_where_no_scheduler_answers_is_a_sentence(monkeypatch: pytest.MonkeyPatch, listens: bool) -> None:
    monkeypatch.setattr(pools, "_CONNECT_SECONDS", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        words = rf"scheduler {address} cannot be reached"
        with pytest.raises(VadprobeError, match=words), open_scheduler(address, 1) as scheduler:
            scheduler.run(tasks_of(1))


def test_a_tls_address_without_keys_is_a_sentence() -> None:
    keys = r"configuration distributed\.comm\.tls"
    with pytest.raises(VadprobeError, match=keys), open_scheduler("tls://127.0.0.1:9", 1) as scheduler:
        scheduler.run(tasks_of(1))


def test_a_worker_killed_in_the_middle_changes_no_result(
    tmp_path: Path, started: Callable[[int], RunningCluster]
) -> None:
    running = started(2)
    tasks = [Task(f"square {number}", die_once, (tmp_path / "mark", number)) for number in range(40)]
    before = len(living(running))
    with open_scheduler(running.address, 0) as scheduler:
        assert scheduler.run(tasks) == [number**2 for number in range(40)]
    assert len(living(running)) == before - 1


def test_errors_of_a_cluster_are_sentences(running: RunningCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_scheduler(running.address, 0) as scheduler:
        with pytest.raises(StoreError, match=r"^layer 3: the shard is damaged"):
            scheduler.run([*tasks_of(3), Task("layer 3", fail, (StoreError, "the shard is damaged."))])
        monkeypatch.setattr(pools, "_IDLE_SECONDS", 1.0)
        with pytest.raises(VadprobeError, match=r"layer 9: .*has had no worker for 1 seconds"):
            scheduler.run([Task("layer 9", always_die)])


def test_workers_without_vadprobe_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['vadprobe'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    words = r"cannot import vadprobe .* Install vadprobe\[analyze\]"
    with (
        running_cluster(tmp_path, 1) as running,
        pytest.raises(VadprobeError, match=words),
        open_scheduler(running.address, 0) as scheduler,
    ):
        scheduler.run(tasks_of(1))


def test_a_lost_scheduler_is_a_sentence(tmp_path: Path) -> None:
    tasks = [Task(f"layer {number}", time.sleep, (0.05,)) for number in range(500)]
    with running_cluster(tmp_path, 1) as running:

        def kill(done: int, total: int, what: str) -> None:
            running.scheduler.kill()

        opened = open_scheduler(running.address, 0, kill)
        with pytest.raises(VadprobeError, match=r"the connection to the Dask cluster was lost"), opened as scheduler:
            scheduler.run(tasks)


def test_the_default_progress_is_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with open_scheduler("synchronous", 0) as scheduler:
        assert isinstance(scheduler, Scheduler)
        scheduler.run(tasks_of(2))
    assert capsys.readouterr() == ("", "")


def test_nothing_is_started_before_the_first_task() -> None:
    with open_scheduler("tcp://127.0.0.1:9", 0) as scheduler:  # nobody listens there
        assert scheduler.run([]) == []
