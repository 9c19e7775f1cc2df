"""Every table of both papers, and our own, at the size of UCF-Crime: seconds of each table, and memory.

Run `python -m benchmarks.analyze.all_tables --annotations FOLDER`, with the folder of `full_size`. UCF-Crime's segments
are stored whole under the first prompt, every layer and every head, and with the planted heads under four others;
XD-Violence's, on which transfers are measured, with the planted parts. Tables are measured in one process, as
`vadprobe table --all --draws 5 --jobs ...` does, from an empty folder of steps.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.analyze.full_size import WORKERS, planting_of
from benchmarks.support.machine import machine
from benchmarks.support.true_sets import COUNTS, of_size, true_set
from benchmarks.support.true_stores import LOCATORS, PROMPTS, write_case, write_job
from vadprobe.analyze.experiments.tables import TABLES, measured_table
from vadprobe.flows.jobs.experiments.context import open_context
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.files.atomic_files import write_bytes

CALIBRATION, DRAWN = 40, 16
"""Number of training videos that are stored, and of those that a draw is fitted on."""


def write_sets(arguments: argparse.Namespace, folder: Path) -> tuple[list[Path], list[dict[str, Any]]]:
    """Write the stores of every set, those of the first whole; return the job files and the facts of the stores."""
    jobs, written = [], []
    for number, name in enumerate(COUNTS):
        dataset, is_real = true_set(name, arguments.annotations)
        sized = of_size(dataset, arguments.scale, CALIBRATION)
        begun = time.perf_counter()
        place = folder / name
        place.mkdir()
        rows = write_case(place, sized, planting_of(arguments), not number, len(PROMPTS))
        seconds = time.perf_counter() - begun
        size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        written.append({"set": name, "real": is_real, "rows": rows, "bytes": size, "writing": seconds})
        print(f"{name}: {rows} segments, {size / 1e9:.1f} GB written in {seconds:.0f} s", flush=True)
        jobs += [write_job(place, name, method, DRAWN / CALIBRATION, arguments.resamples) for method in LOCATORS]
    return jobs, written


def measure(jobs: list[Path], draws: int) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """Measure every table; return seconds and rows of each, and the seconds and memory of all."""
    tables: dict[str, dict[str, Any]] = {}
    begun = time.perf_counter()
    with open_context([load_job(job) for job in jobs], draws, None, "tables", len(TABLES)) as context:
        for name in TABLES:
            before, steps = time.perf_counter(), len(context.cache.computed)
            table = measured_table(context, name)
            tables[name] = {
                "seconds": time.perf_counter() - before,
                "rows": len(table.rows),
                "measured": sum(row.is_measured for row in table.rows),
                "steps": len(context.cache.computed) - steps,
            }
            print(f"{name}: {tables[name]}", flush=True)
    wall = time.perf_counter() - begun
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in spent)
    memory = 1024 * (spent[0].ru_maxrss + WORKERS * spent[1].ru_maxrss)
    return tables, {"seconds": wall, "cpu": cpu, "bytes": memory, "load": os.getloadavg()[0]}


def main() -> None:
    """Write the stores, measure every table, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, help="folder with a folder of annotation files for each set")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes, for a short run")
    for name, default in (
        ("layers", 28),
        ("heads", 28),
        ("head-dim", 128),
        ("hidden", 3584),
        ("resamples", 1000),
        ("draws", 5),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="where the stores are written, and removed again: 20 GB")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        jobs, written = write_sets(arguments, Path(folder))
        before = sum(os.times()[:2])
        tables, whole = measure(jobs, arguments.draws)
        whole["cpu"] -= before
    found = {"sets": written, "tables": tables, "whole": whole}
    print(
        f"all tables with {arguments.draws} draws: {whole['seconds']:.0f} s ({whole['cpu']:.0f} s of processor time), "
        f"{whole['bytes'] / 1e9:.2f} GB, load {whole['load']:.1f}"
    )
    if arguments.json:
        content = {**found, **machine(("numpy", "scikit-learn", "zarr"))}
        write_bytes(arguments.json, json.dumps(content, indent=1).encode())


if __name__ == "__main__":
    main()
