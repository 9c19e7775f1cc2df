"""Pools of workers: threads of this process, a local Dask cluster of one-threaded processes, or another cluster.

This module is imported only when a task has to be computed, since importing Dask and scikit-learn takes a second.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from typing import Any, TypeVar

import dask
import scipy.linalg  # noqa: F401  # one_thread limits only what is loaded when a task begins: these two have threads
import sklearn.utils  # noqa: F401
from dask.local import SynchronousExecutor
from distributed import Client, LocalCluster, Security, wait
from distributed.client import ClosedClientError
from distributed.comm import CommClosedError, connect
from distributed.core import RPCClosed
from distributed.scheduler import KilledWorker, NoValidWorkerError

from vadprobe.analyze.compute.blas_threads import one_thread
from vadprobe.analyze.compute.scheduling import Future, Task
from vadprobe.analyze.compute.settings import ClusterConfig
from vadprobe.analyze.compute.started_cluster import started_cluster
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import error_text

_Result = TypeVar("_Result")

_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 60.0  # seconds without any worker after which waiting ends
_AHEAD = 4  # tasks submitted per thread of a worker: no thread waits, and few results pile up
_WORKER_ENVIRONMENT = {
    # One BLAS thread each: workers that share cores with in-process threads are ten times slower.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Dask's default returns memory to the system after every small array, which doubles the time of the kernels.
    "MALLOC_TRIM_THRESHOLD_": "134217728",
}


class InThisProcess:
    """Pool of threads of this process; with 0 threads, the calling thread computes a task when it is submitted."""

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


class Cluster:
    """Pool of the workers of a Dask cluster."""

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
    """Turn Dask's errors of dead workers and lost connections into a `VadprobeError` with a sentence."""
    try:
        yield
    except KilledWorker as error:
        raise VadprobeError(
            f"{error.allowed_failures + 1} workers died while computing it, most likely because memory ran "
            "out. Use fewer workers, or give each more memory (dask worker --memory-limit)."
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
    """Run a task with one BLAS thread; a running cluster's workers may have as many as the machine has cores."""
    with one_thread():
        return function(*arguments)


@contextmanager
def local_client(workers: int) -> Iterator[Client]:
    """Start a local cluster of one-threaded processes, which ends with the client."""
    settings: Mapping[str, Any] = {
        "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
        "distributed.scheduler.no-workers-timeout": f"{_IDLE_SECONDS:.0f}s",
    }
    with dask.config.set(settings), ExitStack() as stack:
        with _interrupted_later():
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=40
            )
            stack.enter_context(cluster)
        yield stack.enter_context(Client(cluster))


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach, which a terminal sends to all of them; ours is raised at the end.

    Processes inherit the signals that the thread which starts them blocks, and threads those of theirs.
    """
    resource_tracker.ensure_running()  # it unblocks them in the thread that starts it, the first worker's otherwise
    came: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()  # the one that signals interrupt
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number)) if is_main else None
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if is_main:
            signal.signal(signal.SIGINT, handler)
    if came:
        raise KeyboardInterrupt


@contextmanager
def started_client(cluster: ClusterConfig, workers: int) -> Iterator[Client]:
    """Start a cluster of the class in the settings, which ends with the client."""
    with started_cluster(cluster, workers) as client:
        _check_workers(client, cluster.type)
        yield client


@contextmanager
def connected_client(address: str) -> Iterator[Client]:
    """Connect to a running cluster, which goes on when the client is closed."""
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
    """Check that a connection can be made: Dask's client would wait for ever for a server that never answers."""
    keys = Security().get_connection_args("client")
    try:
        comm = await asyncio.wait_for(connect(address, timeout=_CONNECT_SECONDS, **keys), _CONNECT_SECONDS + 1)
    except TimeoutError as error:
        raise TimeoutError("something listens there, but does not answer as a Dask scheduler does") from error
    await comm.close()


def _check_workers(client: Client, name: str) -> None:
    """Refuse a cluster whose scheduler or workers lack vadprobe, since both unpickle the tasks."""
    known = client.submit(_knows_vadprobe, pure=False)
    try:
        Cluster(client).result(known)
    except (ImportError, RuntimeError) as error:  # the one from a worker, the other from the scheduler
        raise VadprobeError(
            f"the scheduler or a worker of the Dask cluster {name} cannot import vadprobe ({error_text(error)}) "
            "Install vadprobe[analyze] of the same version where they run."
        ) from error


def _knows_vadprobe() -> bool:
    """Return True: a process that can unpickle this function has vadprobe installed."""
    return True
