"""``vadprobe verify``: every byte of a job's stores, of one store, or of all stores below a folder read again."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vadprobe.flows.commands.options import place, stores_of
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.files.location import can_list, is_remote
from vadprobe.store.format.layout import records_of
from vadprobe.store.verification.problems import Verification
from vadprobe.store.verification.repair import RepairPlan, apply, plan_repair
from vadprobe.store.verification.verify import Checked, verify_stores

_MOST_WORKERS = 4


def add_verify_command(commands: Any) -> None:
    """Add ``verify``."""
    parser = commands.add_parser(
        "verify",
        help="read every byte of the stores again and compare it with the records",
        description="Read every byte of the stores again and compare it with the records. Nothing is repaired. Exit "
        "code 1 if something is wrong; the partitions to redo and what mends each problem are listed.",
    )
    parser.set_defaults(command=_verify)
    parser.add_argument(
        "target",
        type=place,
        metavar="TARGET",
        help="a job file (TOML), a store, or a folder with stores",
    )
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted verification stopped")
    parser.add_argument(
        "--workers", type=int, metavar="N", help=f"threads that read; default: the cores, {_MOST_WORKERS} at most"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what was found; '-' prints only JSON")


def _verify(options: argparse.Namespace) -> int:
    if options.workers is not None and options.workers < 1:
        raise VadprobeError(f"--workers is {options.workers}; a whole number from 1 is wanted.")
    only_json = options.json is not None and str(options.json) == "-"
    found = []
    for verification in _verifications(stores_of(options.target), options.workers, options.resume):
        found.append(verification)
        if not only_json:
            _say(_lines(verification))
    content = {"sound": not any(one.problems for one in found), "stores": [_content(one) for one in found]}
    if only_json:
        _say([json.dumps(content, indent=1, sort_keys=True)])
    elif options.json is not None:
        write_json(options.json, content)
    return 0 if content["sound"] else 1


def mend(stores: Iterable[Path], workers: int | None = None) -> list[RepairPlan]:
    """Verify stores and carry out what mends them, for 'vadprobe extract --repair'; says what is done.

    Stores that do not exist yet are left to the extraction.

    Returns:
        The plans that had something to do or to say.

    Raises:
        StoreError: if another worker writes a partition that would be reset.
    """
    existing = [store for store in stores if store.exists() or records_of(store).is_dir()]
    plans = [plan_repair(found) for found in _verifications(existing, workers, resume=False)]
    plans = [plan for plan in plans if not plan.is_empty or plan.by_hand]
    for plan in plans:
        _say(plan.lines())
        apply(plan)
    return plans


def _verifications(stores: list[Path], workers: int | None, resume: bool) -> Iterator[Verification]:
    n_bytes = sum(_stored_bytes(store) for store in stores)
    with _progress(n_bytes) as bar:
        yield from verify_stores(stores, bar.report, workers=workers or _workers(), resume=resume)


class VerifyProgress:
    """A bar over bytes with their rate, the time left, and the problems found so far."""

    def __init__(self, bar: "tqdm[Any]") -> None:
        self._bar = bar
        self._problems: dict[Path, int] = {}

    def report(self, checked: Checked) -> None:
        """Count a partition."""
        self._problems[checked.store] = checked.n_problems
        self._bar.set_postfix(problems=sum(self._problems.values()), refresh=False)
        self._bar.total = max(0, (self._bar.total or 0) - checked.n_skipped)
        self._bar.update(checked.n_bytes)


@contextmanager
def _progress(n_bytes: int) -> Iterator[VerifyProgress]:
    with tqdm(total=n_bytes, desc="verifying", unit="B", unit_scale=True, file=sys.stderr, dynamic_ncols=True) as bar:
        yield VerifyProgress(bar)
        bar.total = bar.n  # what is missing was not read: shards that are lost or too many


def _stored_bytes(store: Path) -> int:
    if not can_list(store):
        return 0
    if is_remote(store):
        return sum(path.stat().st_size for path in store.rglob("*") if path.name != "zarr.json")
    return sum(path.stat().st_size for path in store.glob("*/c/**/*") if path.is_file())


def _workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_WORKERS, cores)


def _lines(found: Verification) -> Iterator[str]:
    """A verification as sentences: problems, state, what is to be redone, what would mend it."""
    yield from map(str, found.problems)
    state = "sound" if not found.problems else f"{len(found.problems)} problems"
    rows = f"{found.n_rows} rows ({found.n_failed} failed)"
    before = f", {found.n_resumed} partitions were read before" if found.n_resumed else ""
    yield f"{found.store}: {rows}, {found.n_bytes / 1e6:.1f} MB read{before}: {state}"
    if found.redo:
        yield f"{found.store}: partitions to redo: {', '.join(map(str, found.redo))}"
    plan = plan_repair(found)
    if not plan.is_empty:
        yield "'vadprobe extract --repair' would do this:"
    yield from plan.lines()


def _content(found: Verification) -> dict[str, Any]:
    """A verification as JSON."""
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
