"""Where stage 2 computes: this process, or a local Dask cluster of one-threaded worker processes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dask
from dask.delayed import Delayed
from distributed import Client, LocalCluster
from threadpoolctl import threadpool_limits

_WORKER_ENVIRONMENT = {
    # One BLAS thread each: workers that share cores with in-process threads are ten times slower.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Dask's own setting returns memory to the system after every small array, which doubles the time of the kernels.
    "MALLOC_TRIM_THRESHOLD_": "134217728",
}


class Scheduler:
    """Runs independent tasks and returns their results in order."""

    def __init__(self, client: Client | None) -> None:
        self._client = client

    def run(self, tasks: Sequence[Delayed]) -> list[Any]:
        """Compute all tasks; the first error is raised."""
        if self._client is None:
            with threadpool_limits(limits=1):
                return list(dask.compute(*tasks, scheduler="synchronous"))
        return list(self._client.gather(self._client.compute(list(tasks))))


@contextmanager
def local_cluster(workers: int) -> Iterator[Scheduler]:
    """Start ``workers`` processes of one thread; 0 computes in this process, with the same results."""
    if workers == 0:
        yield Scheduler(None)
        return
    settings: Mapping[str, Any] = {
        "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
        "distributed.scheduler.no-workers-timeout": "60s",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=40
        ) as cluster,
        Client(cluster) as client,
    ):
        yield Scheduler(client)
