"""The settings of a cluster that a run starts itself."""

from typing import Any

from pydantic import Field

from vadprobe.store.settings import Section


class ClusterConfig(Section):
    """Section `[analysis.cluster]`: a Dask cluster that is started for a run, with scheduler = "cluster".

    The class is imported and called with the given arguments: this runs code that the job's author has chosen. So read
    a job file of somebody else before you run it, like a program. No parameter of a Prefect run can name a class. Write
    no secret here: the job is printed and kept with results, and each library has its own place for secrets.
    """

    type: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
        description="the class by its dotted name: 'dask_jobqueue.SLURMCluster', 'coiled.Cluster', "
        "'dask_kubernetes.operator.KubeCluster', 'distributed.LocalCluster'",
    )
    arguments: dict[str, Any] = Field(
        default={}, description="what the class is called with, such as {cores = 1, memory = '4GB', queue = 'cpu'}"
    )
    most_workers: int | None = Field(
        default=None, ge=1, description="start as many workers as there is work for, from `workers` up to this many"
    )
    patience: float = Field(
        default=3600.0, gt=0, description="seconds to wait for the first worker, which may stand in a queue"
    )
