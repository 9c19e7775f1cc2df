"""All measurements that need a GPU, the most valuable first, within a time: equalities, rates, end to end, peers.

Run `python -m benchmarks.gpu --json results.json`. Weights are random and made on the device; nothing is downloaded.
Each part runs in a process of its own with a time of its own, and its entry is written as soon as it ends. A part that
fails is an entry with its reason. A second run continues the first: it skips the parts that have an entry, or with
`--retry` only the parts that have values. `--dry-run` runs all parts with tiny shapes on the CPU.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.extract.device_parts import PARTS, describe_machine, run_part
from vadprobe.store.files.atomic_files import write_bytes

LEAST_SECONDS = 20.0  # least seconds left to begin a part, which its imports and weights take


def entry_of(name: str, seconds: float, dry_run: bool) -> dict[str, Any]:
    """Run one part in a process of its own; return its values, or the reason why there are none."""
    command = [sys.executable, "-m", __spec__.name, "--part", name, *(["--dry-run"] if dry_run else [])]
    begun = time.monotonic()
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False
        )
        lines = done.stdout.strip().splitlines() or [""]
        found = json.loads(lines[-1]) if done.returncode == 0 else {"failed": "\n".join(lines[-15:])}
    except subprocess.TimeoutExpired:
        found = {"failed": f"it took more than its {seconds:.0f} s"}
    return {**found, "wall": time.monotonic() - begun}


def kept(path: Path, dry_run: bool) -> dict[str, Any]:
    """Return the content of an earlier run's file, or a new content.

    Raises:
        SystemExit: if the file is of a dry run and this run is not, or the other way round.
    """
    if not path.exists():
        return {"dry_run": dry_run, "machine": describe_machine(dry_run), "parts": {}}
    found: dict[str, Any] = json.loads(path.read_text())
    if found["dry_run"] != dry_run:
        raise SystemExit(f"{path} has the parts of a run with {'tiny' if found['dry_run'] else 'true'} shapes")
    return found


def run(arguments: argparse.Namespace) -> None:
    """Run the parts that are left, the most valuable first, as far as the time allows."""
    end, found = time.monotonic() + arguments.budget, kept(arguments.json, arguments.dry_run)
    for name in arguments.parts:
        entry = found["parts"].get(name)
        if entry is not None and not (arguments.retry and "failed" in entry):
            print(f"{name}: is there already")
            continue
        seconds = min(PARTS[name].seconds, end - time.monotonic())
        if seconds < LEAST_SECONDS:
            print(f"{name}: no time is left; run the same command again")
            continue
        found["parts"][name] = entry = entry_of(name, seconds, arguments.dry_run)
        write_bytes(arguments.json, json.dumps(found, indent=1).encode())
        print(
            f"{name}: {entry['wall']:.0f} s; {entry.get('failed') or entry.get('left_out') or 'measured'}", flush=True
        )


def main() -> None:
    """Read the parts and the time, run them; or run one part and print its values as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), help="the file of all parts")
    parser.add_argument("--budget", type=float, default=720, help="seconds of all parts together")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="NAME")
    parser.add_argument("--retry", action="store_true", help="run parts again that failed")
    parser.add_argument("--dry-run", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--part", choices=list(PARTS), help="run this part alone, in this process; prints JSON")
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(run_part(arguments.part, arguments.dry_run)))
    else:
        run(arguments)


if __name__ == "__main__":
    main()
