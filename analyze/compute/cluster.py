"""Schedulers of stage 2: in this process, or on a Dask cluster: a local one, one that is running, or one of any class.

All of them give the same results, whatever the number of workers.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import dask
from dask.local import SynchronousExecutor
from distributed import Client, LocalCluster, Security, wait
from distributed.client import ClosedClientError
from distributed.comm import CommClosedError, connect
from distributed.core import RPCClosed
from distributed.scheduler import KilledWorker, NoValidWorkerError

from vadprobe.analyze.compute.blas_threads import one_thread
from vadprobe.analyze.compute.observation import UNWATCHED, Observation, observed
from vadprobe.analyze.compute.scheduling import Future, Pool, Scheduler, Task, TaskProgress
from vadprobe.analyze.compute.settings import ClusterConfig
from vadprobe.analyze.compute.started_cluster import started_cluster
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import error_text

_Result = TypeVar("_Result")

_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 60.0  # without any worker, after which waiting is given up
_AHEAD = 4  # tasks handed out for each thread of a worker: it never waits for the next, and few results pile up
_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})/?")
_WORKER_ENVIRONMENT = {
    # One BLAS thread each: workers that share cores with in-process threads are ten times slower.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Dask's own setting returns memory to the system after every small array, which doubles the time of the kernels.
    "MALLOC_TRIM_THRESHOLD_": "134217728",
}


@contextmanager
def open_scheduler(
    scheduler: str,
    workers: int,
    progress: TaskProgress | None = None,
    cluster: ClusterConfig | None = None,
    observation: Observation = UNWATCHED,
) -> Iterator[Scheduler]:
    """Give what computes; the results are the same with each. Workers start when there is a first task.

    Args:
        scheduler: "processes" starts `workers` processes of one thread; "threads" uses `workers` threads of this
            process, which share its memory but also its interpreter; "synchronous" computes in the calling thread;
            "tcp://host:port" or "tls://host:port" is the scheduler of a running Dask cluster, whose workers need
            vadprobe and the stores at the same paths (the keys of TLS are Dask's configuration, distributed.comm.tls);
            "cluster" starts the one that `cluster` describes, and ends it.
        workers: how many; 0 is "synchronous". The workers of a running cluster are as many as they are.
        progress: called after each task.
        cluster: class and arguments of a cluster to start.
        observation: of a cluster at work.

    BLAS has one thread per worker in all of them, on a running cluster while our tasks compute.

    Raises:
        VadprobeError: if the name is none of these; and at the first task, if the cluster cannot be reached within some
            20 seconds.
    """
    if workers < 0:
        raise VadprobeError(f"workers must be a whole number from 0 (0 computes in this process), got {workers}.")
    here = scheduler in ("synchronous", "threads") or (workers == 0 and scheduler == "processes")
    if scheduler == "cluster" and cluster is None:
        raise VadprobeError("scheduler 'cluster' needs a section [analysis.cluster] that says which class to start.")
    if not here and scheduler not in ("processes", "cluster"):
        _check_address(scheduler)
    observation.check()
    with ExitStack() as stack:

        def start() -> Pool:
            if here:
                return _InThisProcess(0 if scheduler == "synchronous" else workers, stack)
            if scheduler == "processes":
                clients = _local_client(workers)
            elif scheduler == "cluster" and cluster is not None:
                clients = _started(cluster, workers)
            else:
                clients = _connected(scheduler)
            client = stack.enter_context(clients)
            stack.enter_context(observed(client, observation))
            return _Cluster(client)

        yield Scheduler(start, progress)


class _InThisProcess:
    """Threads of this process; with none of them, the calling thread computes a task as it is handed out."""

    def __init__(self, threads: int, stack: ExitStack) -> None:
        self._window = _AHEAD * threads or 1
        self._executor = SynchronousExecutor()
        if threads:
            stack.enter_context(one_thread())
            self._executor = ThreadPoolExecutor(threads)
            stack.callback(self._executor.shutdown, cancel_futures=True)

    def submit(self, task: Task) -> Future:
        future: Future = self._executor.submit(_limited, task.function, task.arguments)
        return future

    def result(self, future: Any) -> Any:
        return future.result()

    def window(self) -> int:
        return self._window


class _Cluster:
    """The workers of a Dask cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def submit(self, task: Task) -> Future:
        with _in_sentences():
            future: Future = self._client.submit(_limited, task.function, task.arguments, pure=False)
            return future

    def result(self, future: Any) -> Any:
        with _in_sentences():
            while not future.done():
                try:
                    wait([future], timeout=_IDLE_SECONDS)
                except TimeoutError:
                    self._check_workers_live()
            return future.result()

    def window(self) -> int:
        with _in_sentences():
            threads: dict[str, int] = self._client.nthreads()
        return _AHEAD * max(1, sum(threads.values()))

    def _check_workers_live(self) -> None:
        if not self._client.nthreads():
            raise VadprobeError(
                f"the Dask cluster has had no worker for {_IDLE_SECONDS:.0f} seconds; start workers (dask worker "
                "ADDRESS --nthreads 1), or look into their logs if there were some."
            ) from None


@contextmanager
def _in_sentences() -> Iterator[None]:
    """Say in sentences what Dask raises of dead workers and lost connections."""
    try:
        yield
    except KilledWorker as error:
        raise VadprobeError(
            f"{error.allowed_failures + 1} workers died while computing it, most likely for want of memory. Use "
            "fewer workers, or give each more memory (dask worker --memory-limit)."
        ) from error
    except NoValidWorkerError as error:
        raise VadprobeError(
            f"no worker took it within {error.timeout:.0f} seconds; the workers died or could not start. Use fewer "
            "workers, or scheduler 'synchronous' to see the error itself."
        ) from error
    except (CancelledError, CommClosedError, RPCClosed, ClosedClientError) as error:
        raise VadprobeError(
            "the connection to the Dask cluster was lost. Look whether its scheduler is still running, then run the "
            "command again."
        ) from error


def _limited(function: Callable[..., _Result], arguments: tuple[Any, ...]) -> _Result:
    """Run a task on a worker; those of another's cluster have as many BLAS threads as the machine has cores."""
    with one_thread():
        return function(*arguments)


@contextmanager
def _started(cluster: ClusterConfig, workers: int) -> Iterator[Client]:
    with started_cluster(cluster, workers) as client:
        _check_workers(client, cluster.type)
        yield client


@contextmanager
def _local_client(workers: int) -> Iterator[Client]:
    settings: Mapping[str, Any] = {
        "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
        "distributed.scheduler.no-workers-timeout": f"{_IDLE_SECONDS:.0f}s",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=40
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _check_address(scheduler: str) -> None:
    found = _ADDRESS.fullmatch(scheduler)
    if found is None or not 0 < int(found[3]) < 65536:
        raise VadprobeError(
            "scheduler must be 'processes', 'threads', 'synchronous', 'cluster' or the address of a running Dask "
            f"scheduler such as 'tcp://localhost:8786' ('dask scheduler' prints its address), got {scheduler!r}."
        )


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    """Connect to a running cluster, which stays when the client leaves."""
    try:
        with ThreadPoolExecutor(1) as pool:  # the calling thread may have an event loop of its own
            pool.submit(asyncio.run, _greet(address)).result()
        client = Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, TimeoutError, TypeError, ValueError, RuntimeError) as error:
        keys = " Its keys are Dask's configuration distributed.comm.tls." if address.startswith("tls") else ""
        raise VadprobeError(
            f"the Dask scheduler {address} cannot be reached ({error_text(error)}). Start it with 'dask scheduler', "
            f"check host, port and firewall, or use scheduler 'processes'.{keys}"
        ) from error
    with client:
        _check_workers(client, address)
        yield client


async def _greet(address: str) -> None:
    """Connect once and leave: a client of Dask waits for ever where something listens but never answers."""
    keys = Security().get_connection_args("client")
    try:
        comm = await asyncio.wait_for(connect(address, timeout=_CONNECT_SECONDS, **keys), _CONNECT_SECONDS + 1)
    except TimeoutError as error:
        raise TimeoutError("something listens there, but does not answer as a Dask scheduler does") from error
    await comm.close()


def _check_workers(client: Client, name: str) -> None:
    """Refuse a cluster that does not know vadprobe: its scheduler and its workers both read the tasks."""
    known = client.submit(_knows_vadprobe, pure=False)
    try:
        _Cluster(client).result(known)
    except (ImportError, RuntimeError) as error:  # the one from a worker, the other from the scheduler
        raise VadprobeError(
            f"the scheduler or a worker of the Dask cluster {name} cannot import vadprobe ({error_text(error)}) "
            "Install vadprobe[analyze] of the same version where they run."
        ) from error


def _knows_vadprobe() -> bool:
    """Return True; whoever reads this function has imported this module."""
    return True
