"""Stage 2 at the sizes of UCF-Crime and XD-Violence: seconds by phase and memory, and both against the number of rows.

Run `python -m benchmarks.analyze.full_size --annotations FOLDER`, where FOLDER has `ucf-crime` and `xd-violence` with
their annotation files; without it lengths are drawn. Stores have a planted signal and the shape of an 8-billion model,
28 layers of 28 heads of 128 values, hidden states of 3,584, bfloat16. Calibration videos are stored full, under five
prompts; segments of 24 frames are stored under the scored prompt, with five heads and one layer. Each case runs in a
process of its own, from an empty workspace: open, fit, score, measure with 1,000 resamples, draw the page.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.machine import machine
from benchmarks.support.planted_signal import Planting
from benchmarks.support.timed import timed
from benchmarks.support.true_sets import COUNTS, of_size, true_set
from benchmarks.support.true_stores import LOCATORS, PROMPTS, write_case, write_job
from vadprobe.store.files.atomic_files import write_bytes

WORKERS = 2  # default number of processes that compute; each may hold as much as the largest
STEPS = ("open_analysis", "fit_step", "score_step", "evaluate", "with_context", "write_report")


def run_here(path: Path) -> None:
    """Run one job in this process, and print its seconds and memory as JSON."""
    begun = time.perf_counter()
    from vadprobe.flows.jobs import analyze_job  # noqa: PLC0415 - its imports are a phase of their own
    from vadprobe.flows.jobs.job import load_job  # noqa: PLC0415

    seconds = {"imports": time.perf_counter() - begun}
    with ExitStack() as stack:
        for name in STEPS:
            stack.enter_context(timed(analyze_job, name, seconds))
        outcome = analyze_job.analyze(load_job(path))
    wall = time.perf_counter() - begun
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found = {
        "wall": wall,
        "cpu": sum(one.ru_utime + one.ru_stime for one in spent),
        "bytes": 1024 * (spent[0].ru_maxrss + WORKERS * spent[1].ru_maxrss),
        "seconds": seconds,
        "auc": outcome.row()["auc"],
    }
    print(json.dumps(found))


def run_apart(job: Path) -> dict[str, Any]:
    """Run one job in a process of its own, without the results of an earlier run."""
    for left in ("steps", job.stem):
        shutil.rmtree(job.parent / left, ignore_errors=True)
    command = [sys.executable, "-m", __spec__.name, f"--case={job}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "load": os.getloadavg()[0]}


def slopes(cases: list[dict[str, Any]]) -> dict[str, float]:
    """Return the exponents with which seconds and memory grow with the rows, from the smallest to the largest case."""
    first, last = cases[0], cases[-1]
    rows = np.log(last["rows"] / first["rows"])
    return {name: float(np.log(last[name] / first[name]) / rows) for name in ("cpu", "wall", "bytes")}


def draw(cases: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw processor seconds and memory against rows, a line for each method."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - only for the figure

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for method, found in cases.items():
        rows = [one["rows"] for one in found]
        axes[0].loglog(rows, [one["cpu"] for one in found], marker="o", label=method)
        axes[1].loglog(rows, [one["bytes"] / 1e9 for one in found], marker="o", label=method)
    for axis, label in zip(axes, ("processor seconds", "memory at most, GB"), strict=True):
        axis.set(xlabel="segments", ylabel=label)
        axis.grid(visible=True, which="both", alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def planting_of(arguments: argparse.Namespace) -> Planting:
    """Return the planting: five robust heads, some unstable ones, and one layer at two thirds of the depth."""
    return Planting(
        n_layers=arguments.layers,
        n_heads=arguments.heads,
        head_dim=arguments.head_dim,
        hidden_size=arguments.hidden,
        prompts=PROMPTS,
        unstable=min(20, arguments.layers * arguments.heads // 3),
        strength=5.0,
        layers=(max(1, 2 * arguments.layers // 3),),
        layer_strength=float(arguments.hidden**0.5),  # one deviation in every dimension
        cluster=0.3,
    )


def measure(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run every method on every set, size and number of calibration videos, and yield each case once it is done."""
    planting = planting_of(arguments)
    for name in arguments.sets:
        dataset, is_real = true_set(name, arguments.annotations)
        for factor in (1.0, *(arguments.factors if name == arguments.sets[0] else ())):
            with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
                sized = of_size(dataset, factor * arguments.scale, max(arguments.calibration))
                begun = time.perf_counter()
                rows = write_case(Path(temporary), sized, planting)
                written = time.perf_counter() - begun
                frames = sum(video.n_frames or 0 for video in sized.videos if video.split != "train")
                case = {
                    "set": name,
                    "real": is_real,
                    "factor": factor,
                    "rows": rows,
                    "frames": frames,
                    "writing": written,
                }
                for method, count in product(
                    LOCATORS, arguments.calibration if factor == 1 else arguments.calibration[:1]
                ):
                    job = write_job(
                        Path(temporary), name, method, count / max(arguments.calibration), arguments.resamples
                    )
                    yield {**case, "method": method, "calibration": count, **run_apart(job)}


def line(case: dict[str, Any]) -> str:
    """Return one case in words."""
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in case["seconds"].items())
    return (
        f"{case['set']} x {case['factor']:g}, {case['frames']} frames, {case['rows']} segments, {case['method']} with "
        f"{case['calibration']} videos: {case['wall']:.1f} s ({case['cpu']:.1f} s of processor time), "
        f"{case['bytes'] / 1e9:.2f} GB, load {case['load']:.1f}; {steps}"
    )


def main() -> None:
    """Read the sizes, run every case, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, help="folder with a folder of annotation files for each set")
    parser.add_argument("--sets", nargs="+", choices=list(COUNTS), default=list(COUNTS))
    parser.add_argument("--calibration", type=int, nargs="+", default=[16, 40], help="videos that are fitted on")
    parser.add_argument("--factors", type=float, nargs="*", default=[0.125, 4], help="of the first set's rows")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes, for a short run")
    for name, default in (("layers", 28), ("heads", 28), ("head-dim", 128), ("hidden", 3584), ("resamples", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="where the stores are written, and removed again")
    parser.add_argument("--json", type=Path, help="also write the results to this file, and the figure beside it")
    parser.add_argument("--case", type=Path, help="run this job file only, in this process; prints JSON")
    arguments = parser.parse_args()
    if arguments.case:
        run_here(arguments.case)
        return
    found: dict[str, Any] = {"cases": [], **machine(("numpy", "scikit-learn", "zarr", "matplotlib"))}
    lines: dict[str, list[dict[str, Any]]] = {method: [] for method in LOCATORS}
    for case in measure(arguments):
        print(line(case), flush=True)
        found["cases"].append(case)
        if (case["set"], case["calibration"]) == (arguments.sets[0], arguments.calibration[0]):
            lines[case["method"]].append(case)
            lines[case["method"]].sort(key=lambda one: int(one["rows"]))
        found["slopes"] = {method: slopes(cases) for method, cases in lines.items() if len(cases) > 1}
        if arguments.json:
            write_bytes(arguments.json, json.dumps(found, indent=1).encode())
    print(json.dumps(found["slopes"]))
    if arguments.json:
        draw(lines, arguments.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
