"""Scoring many rows and a streamed fit on them: seconds and memory as rows grow, in one process and on a cluster.

Run `python -m benchmarks.analyze.analysis_scale`. A store with a planted signal is written first, unless `--folder`
has it already; then five heads of its first rows are scored, and a logistic regression is fitted to one layer of them
by passes over the store. Every case runs in a process of its own; the cluster is a `dask scheduler` with two workers
of one thread, started anew for each case and reached by address. Processor seconds are summed over all processes that
compute.
"""

import argparse
import contextlib
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from distributed import default_client

from benchmarks.support.planted_signal import Planting
from benchmarks.support.planted_stores import PlantedStores, write_planted_stores
from tests.support.processes.clusters import running_cluster
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.scheduling import Scheduler, Task
from vadprobe.analyze.features.kernel_mapping import probabilities
from vadprobe.analyze.features.opened_stores import StoreState, opened, state_of
from vadprobe.analyze.features.selected import read_selected
from vadprobe.analyze.features.store_row_blocks import StoreRowBlocks
from vadprobe.analyze.probes.logistic_fitting import fit_logistic
from vadprobe.analyze.probes.streaming.logistic import fit_streamed_logistic
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.reading.feature_store import FeatureStore

MIB = 1024**2
HEADS = ((0, 0), (0, 3), (1, 1), (1, 2), (1, 4))
CLIPS_PER_VIDEO = 50
BYTES_PER_VALUE = 1.6  # of normal noise in bfloat16, compressed
WORKERS = 2
CASES = ("score", "fit")


def write_store(folder: Path, arguments: argparse.Namespace) -> PlantedStores:
    """Write layer 2 and five heads of as many rows as the largest count; keep what is there already."""
    planting = Planting(
        n_layers=2,
        n_heads=5,
        head_dim=arguments.head_dim,
        hidden_size=arguments.hidden,
        prompts=("coarse",),
        robust=3,
        unstable=2,
        layers=(2,),
        cluster=0.3,
    )
    n_videos = -(-max(arguments.rows) // CLIPS_PER_VIDEO)
    return write_planted_stores(
        folder, planting, n_videos, CLIPS_PER_VIDEO, positive_share=0.4, layers=[2], heads=HEADS
    )


def peak_bytes() -> int:
    """Return the most bytes of memory that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def used() -> tuple[float, int]:
    """Return the processor seconds of this process so far, and the most bytes of memory that it has held."""
    return time.process_time(), peak_bytes()


def workers_used(scheduler: str) -> list[tuple[float, int]]:
    """Return `used` of each worker; an empty list if this process computes."""
    return list(default_client().run(used).values()) if ":" in scheduler else []


def warm_up(state: StoreState) -> list[str]:
    """Import the packages and open the store on a worker, neither of which is part of a case."""
    opened(state)
    return [function.__module__ for function in (probabilities, fit_streamed_logistic, StoreRowBlocks)]


def score(store: FeatureStore, labels: np.ndarray, rows: np.ndarray, scheduler: Scheduler) -> dict[str, Any]:
    """Score rows with a probe on five heads, fitted to those of the first twenty videos."""
    selection = Selection("head", "fixed", HEADS)
    sample = rows[: 20 * CLIPS_PER_VIDEO]
    probe = fit_logistic(read_selected(store, selection, sample), labels[sample])
    scores = probabilities(store, selection, probe, rows, scheduler)
    return {"digest": hashlib.sha256(scores.tobytes()).hexdigest(), "passes": 1}


class CountedBlocks(StoreRowBlocks):
    """Row blocks that count the passes over them."""

    passes = 0

    def map(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Count a pass, and run it."""
        self.passes += 1
        return super().map(function, *arguments)


def fit(store: FeatureStore, labels: np.ndarray, rows: np.ndarray, scheduler: Scheduler) -> dict[str, Any]:
    """Fit a logistic regression to one layer of the rows, in passes over the store."""
    blocks = CountedBlocks(store, Selection("layer", "fixed", ((2,),)), rows, labels[rows], scheduler)
    probe = fit_streamed_logistic(blocks)
    content = np.concatenate([probe.mean, probe.scale, probe.coef, [probe.intercept]])
    return {"digest": hashlib.sha256(content.tobytes()).hexdigest(), "passes": blocks.passes}


def run_here(arguments: argparse.Namespace) -> None:
    """Run one case in this process, and print its seconds and memory as JSON."""
    store = FeatureStore.open(next((arguments.folder / "features").rglob("coarse.zarr")))
    labels = np.load(arguments.folder / "labels.npy")
    rows = np.arange(arguments.rows[0])
    with open_scheduler(arguments.scheduler, 0) as scheduler:
        state = state_of(store)
        if ":" in arguments.scheduler:
            scheduler.run([Task("the first task connects", used)])
            default_client().run(warm_up, state)
        here, workers, wall = used(), workers_used(arguments.scheduler), time.perf_counter()
        found = {"score": score, "fit": fit}[arguments.case](store, labels, rows, scheduler)
        wall = time.perf_counter() - wall
        after = workers_used(arguments.scheduler)
    seconds = time.process_time() - here[0] + sum(b[0] - a[0] for a, b in zip(workers, after, strict=True))
    found |= {"seconds": seconds, "wall": wall, "bytes": peak_bytes()}
    print(json.dumps(found | {"worker_bytes": [held for _, held in after]}))


def run_apart(case: str, n_rows: int, scheduler: str, folder: Path) -> dict[str, Any]:
    """Run one case in a process of its own, on one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    options = [f"--case={case}", f"--scheduler={scheduler}", f"--folder={folder}", "--rows", str(n_rows)]
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, *options],
        env=os.environ | threads,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run_on_cluster(case: str, n_rows: int, folder: Path) -> dict[str, Any]:
    """Run one case on a fresh cluster of two workers."""
    with tempfile.TemporaryDirectory() as logs, running_cluster(Path(logs), WORKERS) as running:
        return run_apart(case, n_rows, running.address, folder)


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every case at every row count, in this process and on a cluster."""
    written = write_store(folder, arguments)
    np.save(folder / "labels.npy", written.labels)
    return {
        case: {
            str(count): {
                "process": run_apart(case, count, "synchronous", folder),
                "cluster": run_on_cluster(case, count, folder),
            }
            for count in sorted(arguments.rows)
        }
        for case in CASES
    }


def report(found: dict[str, Any], arguments: argparse.Namespace) -> str:
    """Return the figures in words."""
    lines = []
    titles = {
        "score": f"scoring five heads of {arguments.head_dim} values",
        "fit": f"streamed logistic regression on one layer of {arguments.hidden} values",
    }
    for case, by_rows in found.items():
        lines.append(f"{titles[case]}: one process | cluster of {WORKERS} workers, by address")
        first = next(iter(by_rows.items()))
        for count, ways in by_rows.items():
            parts = []
            for way, one in ways.items():
                each = one["seconds"] / one["passes"] / int(count)
                start = first[1][way]["seconds"] / first[1][way]["passes"] / int(first[0])
                held = max(one["worker_bytes"] or [one["bytes"]])
                parts.append(
                    f"{one['passes']:3d} passes {one['wall']:8.1f} s, {1e6 * each:6.2f} us a row and pass "
                    f"({each / start:4.2f} x the first), {held / MIB:5.0f} MiB"
                )
            same = "same bits" if ways["process"]["digest"] == ways["cluster"]["digest"] else "DIFFERENT NUMBERS"
            lines.append(f"  {int(count):>8} rows: " + " | ".join(parts) + f"; {same}")
    lines.append("  memory: the most that the process, or a worker, has held in all, with the opened store")
    return "\n".join(lines)


def whole(text: str) -> int:
    """Return a positive whole number, also written as 6e5."""
    value = float(text)
    if value < 1 or value != int(value):
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return int(value)


def main() -> None:
    """Read the sizes, run every case, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=whole, nargs="+", default=[150_000, 300_000, 600_000])
    parser.add_argument("--hidden", type=whole, default=1024, help="values of the layer")
    parser.add_argument("--head-dim", type=whole, default=128)
    parser.add_argument("--folder", type=Path, help="keep the store here; by default it is temporary")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--case", choices=CASES, help="run this case only, in this process; prints JSON")
    parser.add_argument("--scheduler", default="synchronous", help="of that case")
    arguments = parser.parse_args()
    if arguments.case:
        run_here(arguments)
        return
    with contextlib.ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        needed = max(arguments.rows) * (arguments.hidden + len(HEADS) * arguments.head_dim) * BYTES_PER_VALUE
        free = shutil.disk_usage(folder).free
        if free < 2 * needed:
            parser.error(f"the store takes {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {folder}")
        found = measure(folder, arguments)
    print(report(found, arguments))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
