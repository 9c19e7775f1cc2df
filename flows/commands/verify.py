"""The command verify, and the repair that `vadprobe extract --repair` begins with."""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from vadprobe.flows.commands.options import JsonFile, OptionalPositive, Place, print_json, stores_of
from vadprobe.flows.jobs.progress import open_bar
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.files.location import StorePath, can_list, is_remote
from vadprobe.store.files.object_store import NoListingError
from vadprobe.store.files.text import counted, size_text

if TYPE_CHECKING:
    from vadprobe.store.verification.problems import Verification
    from vadprobe.store.verification.repair import RepairPlan
    from vadprobe.store.verification.verify import Checked

_MOST_WORKERS = 4


def verify(target: Place, /, *, resume: bool = False, workers: OptionalPositive = None, json: JsonFile = None) -> int:
    """Read every byte of the stores again and compare it with the records.

    Nothing is repaired. If something is wrong, the partitions to compute again are listed, with what repairs each
    problem, and the exit code is 1.

    Example: vadprobe verify my-job.toml

    Args:
        target: a job file (TOML), a store, or a folder with stores
        resume: go on where an interrupted verification stopped
        workers: threads that read; default: the cores, 4 at most
        json: also write what was found; '-' prints only JSON
    """
    only_json = str(json) == "-"
    found = []
    for verification in _verifications(stores_of(target), workers, resume):
        found.append(verification)
        if not only_json:
            _say(_lines(verification))
    is_sound = not any(one.problems for one in found)
    content = {"sound": is_sound, "stores": [_content(one) for one in found]}
    if only_json:
        print_json(content)
    elif json is not None:
        write_json(json, content)
    return 0 if is_sound else 1


def repair(stores: Iterable[StorePath], workers: int | None = None) -> "list[RepairPlan]":
    """Verify stores and apply what mends them, saying what is done; stores that do not exist yet are passed over.

    Returns:
        The plans that had something to do or to say.

    Raises:
        StoreError: if another worker writes a partition that would be reset.
    """
    from vadprobe.store.format.layout import records_of
    from vadprobe.store.verification.repair import apply, plan_repair

    existing = [store for store in stores if store.exists() or records_of(store).is_dir()]
    plans = [plan_repair(found) for found in _verifications(existing, workers, resume=False)]
    plans = [plan for plan in plans if not plan.is_empty or plan.by_hand]
    for plan in plans:
        _say(plan.lines())
        apply(plan)
    return plans


def _verifications(stores: list[StorePath], workers: int | None, resume: bool) -> "Iterator[Verification]":
    from vadprobe.store.verification.verify import verify_stores

    n_bytes = sum(_stored_bytes(store) for store in stores)
    n_problems: dict[StorePath, int] = {}
    with open_bar("verifying", "B", n_bytes, unit_scale=True) as bar:

        def report(checked: "Checked") -> None:
            n_problems[checked.store] = checked.n_problems
            bar.set_postfix(problems=sum(n_problems.values()), refresh=False)
            bar.total = max(0, (bar.total or 0) - checked.n_skipped)
            bar.update(checked.n_bytes)

        n_workers = workers or _workers()
        yield from verify_stores(stores, report, workers=n_workers, resume=resume)
        bar.total = bar.n  # what is left was not read: shards that are lost or too many


def _stored_bytes(store: StorePath) -> int:
    if not can_list(store):
        return 0
    if is_remote(store):
        with contextlib.suppress(NoListingError):  # the verification says so
            return sum(path.stat().st_size for path in store.rglob("*") if path.name != "zarr.json")
        return 0
    return sum(path.stat().st_size for path in store.glob("*/c/**/*") if path.is_file())


def _workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_WORKERS, cores)


def _lines(found: "Verification") -> Iterator[str]:
    """Yield a verification as sentences: problems, state, the partitions to redo, and what would mend it."""
    from vadprobe.store.verification.repair import plan_repair

    yield from map(str, found.problems)
    yield from (f"{found.store}: {note}" for note in found.notes)
    state = "sound" if not found.problems else counted(len(found.problems), "problem")
    rows = f"{counted(found.n_rows, 'row')} ({found.n_failed} failed)"
    before = f", {counted(found.n_resumed, 'partition was', 'partitions were')} read before" if found.n_resumed else ""
    yield f"{found.store}: {rows}, {size_text(found.n_bytes)} read{before}: {state}"
    if found.redo:
        yield f"{found.store}: partitions to redo: {', '.join(map(str, found.redo))}"
    plan = plan_repair(found)
    if not plan.is_empty:
        yield "'vadprobe extract --repair' would do this:"
    yield from plan.lines()


def _content(found: "Verification") -> dict[str, Any]:
    """Return a verification as JSON."""
    from vadprobe.store.verification.repair import plan_repair

    plan = plan_repair(found)
    return {
        "store": str(found.store),
        "sound": not found.problems,
        "rows": found.n_rows,
        "failed_rows": found.n_failed,
        "partitions": found.n_partitions,
        "partitions_read_before": found.n_resumed,
        "bytes_read": found.n_bytes,
        "redo": list(found.redo),
        "notes": list(found.notes),
        "problems": [
            {
                "partition": problem.partition,
                "message": problem.message,
                "remedy": problem.remedy,
                "files": [str(path) for path in problem.files],
            }
            for problem in found.problems
        ],
        "repair": {
            "partitions": list(plan.partitions),
            "removes": [str(path) for path in plan.removes],
            "rebuilds": [str(path) for path in plan.rebuilds],
            "by_hand": [str(problem) for problem in plan.by_hand],
            "bytes": plan.n_bytes,
        },
    }


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        tqdm.write(line, file=sys.stdout)
