"""The flow `verify-store`: an independent second reading of whole stores."""

import vadprobe.flows.deployments.defaults  # noqa: F401 - before prefect is imported

# isort: split
from prefect import flow

from vadprobe.flows.runs.logs import log_of_run
from vadprobe.flows.runs.verification_steps import stores_at, verify_whole_task
from vadprobe.store.errors import StoreError
from vadprobe.store.files.text import counted


@flow(name="verify-store", flow_run_name="{place}", persist_result=False)
def verify_store(place: str, resume: bool = True) -> str:
    """Read every byte of the stores again and compare it with the records.

    Args:
        place: a store, or a folder or bucket with stores.
        resume: skip what an interrupted verification found sound, and nobody has touched since.

    Returns:
        The number of stores, all sound.

    Raises:
        StoreError: naming the problems.
    """
    with log_of_run():
        stores = stores_at(place)
        problems = [problem for store in stores for problem in verify_whole_task(store, resume)]
    if problems:
        raise StoreError("; ".join(problems))
    return f"{counted(len(stores), 'store is', 'stores are')} sound."
