"""Every fault of a run, a worker or the server ends, with what follows by itself or is asked for, in the same store.

Deployments come from a checkout that does not exist any more (see the fixture): workers need none.
"""

import os
import signal
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect import State
from prefect.client.schemas.objects import StateType
from prefect.states import Scheduled

from tests.flows.faults.conftest import Bench
from tests.support.processes.prefect_team import children_of, eventually
from vadprobe.store.verification.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def process_of(bench: Bench, run: UUID) -> int:
    """Return the process that a worker has started for a run, once it is known."""
    eventually(lambda: bench.team.read(run).infrastructure_pid, "the run has no process")
    return int(str(bench.team.read(run).infrastructure_pid).rpartition(":")[2])


def kill_process_of(bench: Bench, run: UUID) -> None:
    """Kill the process of a run, and what that has started; the worker goes on."""
    process = process_of(bench, run)
    for one in (process, *children_of(process)):
        os.kill(one, signal.SIGKILL)


def worker_of(bench: Bench, run: UUID) -> str:
    """Return the name of the worker that a run is on."""
    process = process_of(bench, run)
    return next(name for name, worker in bench.team.workers.items() if process in children_of(worker.pid))


def both_run(bench: Bench) -> tuple[UUID, UUID]:
    """Start two workers, a run and its helper, and wait until both compute."""
    for name in ("first", "second"):
        bench.team.start_worker(name, "gpu")
    run = bench.extract(workers=2)
    eventually(lambda: bench.helpers("Running"), "the helper never began")
    (helper,) = bench.helpers("Running")
    seen = bench.written()
    bench.wait_until_written(seen + 2)
    return run, helper.id


def set_state(bench: Bench, run: UUID, state: State) -> None:
    """Ask for a state, as the buttons of the UI do."""
    with bench.team.client() as client:
        client.set_flow_run_state(run, state)


def test_a_killed_helper_is_retried(bench: Bench) -> None:
    run, helper = both_run(bench)
    kill_process_of(bench, helper)
    bench.team.wait_for(run, "Completed")
    bench.team.wait_for(helper, "Completed", "Cancelled")  # cancelled if all was done before it began again
    assert [one.id for one in bench.helpers()] == [helper]
    bench.check()


def test_what_a_worker_held_that_was_killed_with_its_run_is_done_by_the_others(bench: Bench) -> None:
    run, helper = both_run(bench)
    bench.team.kill(worker_of(bench, helper))
    bench.team.wait_for(run, "Completed")
    bench.check()
    # Nobody has reported it: one automation does, after 90 s without a heartbeat, and the other asks for another try.
    bench.team.start_worker("third", "gpu")
    bench.team.wait_for(helper, "Completed", "Cancelled")  # cancelled if all was done before that try
    with bench.team.client() as client:
        names = [state.name for state in client.read_flow_run_states(helper)]
    assert {"Crashed", "AwaitingRetry"} <= set(names)


def test_a_run_that_was_killed_with_its_worker_goes_on_elsewhere(bench: Bench) -> None:
    run, _ = both_run(bench)
    bench.team.kill(worker_of(bench, run))
    bench.team.start_worker("third", "gpu")
    bench.team.wait_for(run, "Completed")
    assert bench.team.read(run).run_count == 2
    bench.check()


def test_a_killed_run_is_retried_and_goes_on(bench: Bench) -> None:
    bench.team.start_worker("first", "gpu")
    run = bench.extract()
    bench.wait_until_written(3)
    kill_process_of(bench, run)
    bench.team.wait_for(run, "Completed")
    assert bench.team.read(run).run_count == 2
    bench.check()


def test_a_server_that_is_killed_and_comes_back_disturbs_no_run(bench: Bench) -> None:
    run, _ = both_run(bench)
    bench.team.stop_server()
    seen = bench.written()
    bench.wait_until_written(min(seen + 1, 12))
    bench.team.start_server()
    bench.team.wait_for(run, "Completed")
    bench.check()


def test_a_locked_database_disturbs_no_run(bench: Bench) -> None:
    run, _ = both_run(bench)
    with closing(sqlite3.connect(bench.team.database, timeout=60.0)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(20)
        connection.rollback()
    bench.team.wait_for(run, "Completed")
    bench.check()


def test_a_cancelled_run_leaves_a_valid_store_cancels_its_helper_and_the_next_goes_on(bench: Bench) -> None:
    run, helper = both_run(bench)
    set_state(bench, run, State(type=StateType.CANCELLING))
    bench.team.wait_for(run, "Cancelled")
    bench.team.wait_for(helper, "Cancelled")
    (store,) = bench.folder.glob("features/*/*/*/*.zarr")
    seen = bench.written()
    problems = verify(store).problems
    assert {problem.message.partition(":")[0] for problem in problems if problem.partition is None} == {"not committed"}
    assert len({problem.partition for problem in problems if problem.partition is not None}) == 12 - seen
    bench.team.wait_for(bench.extract(workers=2), "Completed")
    bench.check()


def test_two_parents_of_one_job_end_in_one_store(bench: Bench) -> None:
    for name in ("first", "second", "third"):
        bench.team.start_worker(name, "gpu")
    runs = [bench.extract(workers=2) for _ in range(2)]
    for run in runs:
        bench.team.wait_for(run, "Completed")
    bench.check()


def test_a_worker_without_the_files_fails_its_helper_with_a_sentence(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bench.team.start_worker("first", "gpu")
    run = bench.extract("job.toml", workers=2)
    bench.wait_until_written(1)  # the run is on the first worker, the helper waits for one
    bench.team.start_worker("second", "gpu", VADPROBE_JOBS=str(tmp_path_factory.mktemp("empty")))
    bench.team.wait_for(run, "Completed")
    (helper,) = bench.helpers()
    found = bench.team.wait_for(helper.id, "Failed")
    assert "there is no job file" in str(found.state and found.state.message)
    bench.check()


def test_a_finished_run_that_is_asked_for_again_changes_no_feature(bench: Bench) -> None:
    bench.team.start_worker("first", "gpu")
    run = bench.extract()
    bench.team.wait_for(run, "Completed")
    before = {path: path.stat().st_mtime_ns for path in bench.folder.glob("features/**/c/**/*") if path.is_file()}
    # At once would end the worker itself (Prefect 3.8.8): it has not put the run's process away yet.
    set_state(bench, run, Scheduled(scheduled_time=datetime.now(UTC) + timedelta(seconds=30)))
    bench.team.wait_for(run, "AwaitingRetry", "Scheduled", "Pending", "Running")
    bench.team.wait_for(run, "Completed")
    bench.check()
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
