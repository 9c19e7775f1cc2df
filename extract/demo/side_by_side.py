"""Many small jobs in processes of their own, of which none outlives an interrupted parent."""

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from vadprobe.store.errors import VadprobeError
from vadprobe.store.progress import Progress


def run_side_by_side(
    function: Callable[..., object],
    arguments: Sequence[tuple[Any, ...]],
    *,
    workers: int,
    done: int = 0,
    progress: Progress | None = None,
    begin: Callable[[], object] | None = None,
) -> None:
    """Call `function` with each of `arguments` in `workers` new processes, in any order.

    On Ctrl-C, and when one job fails, the other jobs are killed in the middle of their work. So a job should write its
    result under a temporary name and rename it last.

    Args:
        function: a function of a module, whose arguments and result can be sent to another process.
        arguments: one tuple for each job.
        workers: number of processes; 0 calls the function in this process.
        done: number of jobs that an earlier run has finished; they count in `progress`.
        progress: called before the first job and after each one.
        begin: called once in each new process before its first job.

    Raises:
        VadprobeError: if the system killed a process, as it does when memory runs out.
    """
    total = done + len(arguments)
    if progress:
        progress(done, total)
    if workers == 0:
        for number, values in enumerate(arguments, start=done + 1):
            function(*values)
            if progress:
                progress(number, total)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(begin,)) as pool:
        try:
            jobs = [pool.submit(function, *values) for values in arguments]
            for job in as_completed(jobs):
                job.result()
                done += 1
                if progress:
                    progress(done, total)
        except BrokenProcessPool as error:
            raise VadprobeError(
                f"a process that draws was ended from outside after {done} of {total} pieces. What is "
                "finished is kept: the same command continues. If memory was short, use fewer workers."
            ) from error
        except BaseException:
            # Workers ignore Ctrl-C, and more jobs wait for them; once they are killed, the pool ends at once.
            for process in list((pool._processes or {}).values()):
                process.terminate()
            raise


def _begin(begin: Callable[[], object] | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    if begin:
        begin()
