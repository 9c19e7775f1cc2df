"""A Dask cluster that a run starts itself from the dotted name of a class: on Slurm, on Kubernetes or in a cloud."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client

from vadprobe.analyze.compute.settings import ClusterConfig
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import error_text


@contextmanager
def started_cluster(config: ClusterConfig, workers: int) -> Iterator[Client]:
    """Start a cluster, wait for its first worker, and close it at the end.

    Args:
        config: the class and its arguments.
        workers: number of workers to ask for; 0 leaves it to the arguments.

    Raises:
        VadprobeError: if there is no such class, it does not accept the arguments, or no worker starts in time.
    """
    cluster = _made(config)
    with cluster:
        if config.most_workers is not None:
            cluster.adapt(minimum=workers, maximum=max(workers, config.most_workers))
        elif workers:
            cluster.scale(workers)
        with Client(cluster) as client:
            try:
                client.wait_for_workers(1, timeout=config.patience)
            except TimeoutError as error:
                raise VadprobeError(
                    f"no worker of {config.type} has come within {config.patience:.0f} seconds. Look into the queue, "
                    "or give analysis.cluster.patience more seconds."
                ) from error
            yield client


def _made(config: ClusterConfig) -> Any:
    """Return the cluster, made by calling the class with the arguments."""
    made = _class(config.type)
    try:
        return made(**config.arguments)
    except Exception as error:
        given = ", ".join(config.arguments) or "no arguments"
        raise VadprobeError(
            f"analysis.cluster: {config.type} could not be started with {given}: {error_text(error)}"
        ) from error


def _class(name: str) -> Callable[..., Any]:
    module, _, last = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), last)
    except (ImportError, AttributeError) as error:
        package = module.partition(".")[0].replace("_", "-")
        raise VadprobeError(
            f"analysis.cluster.type {name!r} cannot be imported ({error}). Install its package (pip install {package}) "
            "where the analysis runs, or correct the name."
        ) from error
    if not isinstance(found, type) or not all(hasattr(found, method) for method in ("scale", "adapt", "close")):
        raise VadprobeError(
            f"analysis.cluster.type must be a class of Dask clusters, got {name!r}; 'distributed.LocalCluster' is one."
        )
    return found
