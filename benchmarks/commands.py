"""Processor time of the commands that a person waits for: `python -m benchmarks.commands JOB`.

JOB is the job file of a finished analysis, such as `demo-out/configs/hiprobe.toml`. Each command runs as a user runs
it, in a process of its own; a first run warms up, so that `analyze` has nothing left to compute. A number is the
fastest of the repeats, in seconds of processor time, user and system. Beside it stands the share of the imports: the
processor time of a process that imports the same modules and does nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks.support.machine import machine
from vadprobe.flows.jobs.job import load_job

PROGRAM = ("-m", "vadprobe.flows.command_line")
PACKAGES = ("cyclopts", "pydantic", "numpy", "pyarrow", "zarr", "matplotlib")


def spent(command: Sequence[str], errors: IO[str] | int = subprocess.DEVNULL) -> float:
    """Return the processor seconds, user and system, of one command of Python in a process of its own.

    Raises:
        SystemExit: if the command fails.
    """
    child = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=errors)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"'{' '.join(command)}' ended with exit code {child.returncode}.")
    return used.ru_utime + used.ru_stime


def imported(arguments: Sequence[str]) -> list[str]:
    """Return the modules that a command imports, in the order in which they are complete."""
    with tempfile.TemporaryFile("w+") as errors:
        spent(["-X", "importtime", *PROGRAM, *arguments], errors)
        errors.seek(0)
        rows = [line.rsplit("|", 1)[1].strip() for line in errors if line.startswith("import time:")]
    return [name for name in rows[1:] if name != PROGRAM[1]]  # the first is the heading


def import_seconds(modules: Sequence[str], repeats: int) -> float:
    """Return the processor seconds of a process that imports modules and does nothing else, Python's own included."""
    code = (
        "import sys, importlib, contextlib\n"
        "for name in sys.argv[1:]:\n"
        "    with contextlib.suppress(Exception):\n"
        "        importlib.import_module(name)\n"
    )
    return min(spent(["-c", code, *modules]) for _ in range(repeats))


def commands(config: Path) -> dict[str, list[str]]:
    """Return the arguments of each command, by its name in the table."""
    job = load_job(config)
    return {
        "--help": ["--help"],
        "--version": ["--version"],
        "ls": ["ls", str(job.workspace / job.config.store.root)],
        "show": ["show", str(job.stores[0])],
        "plan, nothing left": ["plan", str(config)],
        "extract, nothing left": ["extract", str(config)],
        "analyze, nothing to compute": ["analyze", str(config)],
    }


def main() -> None:
    """Measure every command, print the table, and write JSON if asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path, help="job file of a finished analysis")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for name, arguments in commands(options.job).items():
        spent([*PROGRAM, *arguments])
        modules = imported(arguments)
        seconds = min(spent([*PROGRAM, *arguments]) for _ in range(options.repeats))
        share = min(1.0, import_seconds(modules, options.repeats) / seconds)
        found[name] = {"processor_seconds": seconds, "import_share": share, "modules": len(modules)}
        print(
            f"{name}: {seconds:.2f} s of processor time, {share:.0%} of it imports ({len(modules)} modules)", flush=True
        )
    if options.json:
        options.json.write_text(json.dumps({"commands": found, **machine(PACKAGES)}, indent=1))


if __name__ == "__main__":
    main()
