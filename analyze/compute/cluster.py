"""Choice of a scheduler of stage 2: this process, or a Dask cluster that is local, running, or started by its class.

The results are the same with all of them and any number of workers.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from vadprobe.analyze.compute.observation import UNWATCHED, Observation, observed
from vadprobe.analyze.compute.scheduling import Pool, Scheduler, TaskProgress
from vadprobe.analyze.compute.settings import ClusterConfig
from vadprobe.store.errors import VadprobeError

_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})/?")


@contextmanager
def open_scheduler(
    scheduler: str,
    workers: int,
    progress: TaskProgress | None = None,
    cluster: ClusterConfig | None = None,
    observation: Observation = UNWATCHED,
) -> Iterator[Scheduler]:
    """Open a scheduler; its workers start with the first task. Results are the same with each.

    Args:
        scheduler: "processes" starts `workers` processes of one thread; "threads" uses `workers` threads of this
            process, which share its memory but also its interpreter; "synchronous" computes in the calling thread;
            "tcp://host:port" or "tls://host:port" is the scheduler of a running Dask cluster, whose workers need
            vadprobe and the stores at the same paths (the keys of TLS are Dask's configuration, distributed.comm.tls);
            "cluster" starts the one that `cluster` describes, and ends it.
        workers: number of workers. 0 computes in the calling thread for "processes" and "threads", and leaves the
            number to the class's arguments for "cluster". It is ignored for a running cluster.
        progress: called after each task.
        cluster: class and arguments of the cluster to start; needed for "cluster".
        observation: the report and the address of pages that are wanted of a cluster.

    BLAS has one thread per worker, on a running cluster only while these tasks compute.

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
            from vadprobe.analyze.compute.pools import (
                Cluster,
                InThisProcess,
                connected_client,
                local_client,
                started_client,
            )

            if here:
                return InThisProcess(0 if scheduler == "synchronous" else workers, stack)
            if scheduler == "processes":
                clients = local_client(workers)
            elif scheduler == "cluster" and cluster is not None:
                clients = started_client(cluster, workers)
            else:
                clients = connected_client(scheduler)
            client = stack.enter_context(clients)
            stack.enter_context(observed(client, observation))
            return Cluster(client)

        yield Scheduler(start, progress)


def _check_address(scheduler: str) -> None:
    found = _ADDRESS.fullmatch(scheduler)
    if found is None or not 0 < int(found[3]) < 65536:
        raise VadprobeError(
            "scheduler must be 'processes', 'threads', 'synchronous', 'cluster' or the address of a running Dask "
            f"scheduler such as 'tcp://localhost:8786' ('dask scheduler' prints its address), got {scheduler!r}."
        )
