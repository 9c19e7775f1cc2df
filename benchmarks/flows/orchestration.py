"""The costs of Prefect (time to the first task, a span, requests of a plan, the database), and the gain of two workers.

Run `python -m benchmarks.flows.orchestration`. A server and workers are started here, on a database of their own. The
backbone is tiny, with random weights, and stands for any work on a device: a worker is a process with one thread. Two
workers and one take turns, and what they write is compared with what one process without Prefect writes.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

import tests.support.models.torchvision  # noqa: F401 - before anything imports transformers
from tests.support.paths import ROOT
from tests.support.processes.prefect_team import Team, eventually, team_of
from tests.support.samples.jobs import write_job
from tests.support.videos.drawn import write
from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone
from vadprobe.extract.pipeline.open_partition import PartitionKey
from vadprobe.flows.extract_features import extract_features
from vadprobe.flows.runs.extraction.spans import Span, spans
from vadprobe.flows.runs.faults import step, stop_if_suspended
from vadprobe.store.catalog.comparison import compare

EMBEDDED = "from vadprobe.flows.extract_features import extract_features; extract_features({job!r})"
ROWS = 256


def write_work(folder: Path, partitions: int, size: int) -> Path:
    """Write videos of `partitions` partitions in all, a tiny backbone, and the job; return the job file."""
    (folder / "videos").mkdir(parents=True)
    for number in range(max(1, partitions // 2)):
        write(folder / "videos" / f"video{number}.mp4", min(2, partitions) * ROWS * 8, width=64)
    backbone = make_tiny_backbone(folder / "backbone", "qwen2_5_vl")
    settings = '[extraction]\ndevice = "cpu"\nthreads = 1\ndecoders = 1'
    return write_job(folder, backbone, videos=folder / "videos", size=size, frames=4, more=settings)


def alone(job: Path) -> None:
    """Extract without Prefect."""
    command = [str(Path(sys.executable).with_name("vadprobe")), "extract", str(job)]
    subprocess.run(command, check=True, capture_output=True)


def first_task(database: Path, begun: float) -> float:
    """Return the seconds from a time of day to the start of the first task after it, by the server's database."""
    query = "select min(start_time) from task_run where start_time > ?"
    after = datetime.fromtimestamp(begun, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        found = connection.execute(query, (after,)).fetchone()[0]
    return datetime.fromisoformat(found).replace(tzinfo=UTC).timestamp() - begun


def start_of_embedded(folder: Path, job: Path) -> dict[str, float]:
    """Return the seconds from a command to the first task in an embedded server, on a new and an existing database."""
    environment = {**os.environ, "PREFECT_HOME": str(folder / "embedded"), "PREFECT_PLUGINS_ENABLED": "false"}
    environment["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "300"
    environment.pop("PREFECT_API_URL", None)
    found = {}
    for name in ("new database", "later"):
        begun = time.time()
        command = [sys.executable, "-c", EMBEDDED.format(job=str(job))]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        found[name] = first_task(folder / "embedded" / "prefect.db", begun)
    return found


def start_workers(team: Team, *names: str) -> None:
    """Start workers, and wait until the server knows them."""
    for name in names:
        team.start_worker(name, "gpu")

    def known() -> bool:
        with team.client() as client:
            online = {one.name for one in client.read_workers_for_work_pool("gpu") if one.status == "ONLINE"}
        return online.issuperset(names)

    eventually(known, "the workers never came")


def start_on_server(team: Team, job: Path) -> dict[str, float]:
    """Return the seconds from `prefect deployment run` to a waiting worker's first task, and of a plain command."""
    start_workers(team, "waiting")
    begun = time.time()
    team.command("deployment", "run", "extract-features/extract-features", "-p", f"config={job}")
    accepted = time.time() - begun
    team.wait_for(team.runs_of("extract-features")[-1].id, "Completed")
    team.kill("waiting")
    seconds = first_task(team.database, begun)
    begun = time.time()
    alone(job)
    return {"command to first task": seconds, "of it the command": accepted, "plain command": time.time() - begun}


@contextmanager
def counted_requests() -> Iterator[list[str]]:
    """Collect the paths that this process asks a server for."""
    paths: list[str] = []
    kept = httpx.Client.send, httpx.AsyncClient.send

    def send(self: Any, request: Any, **options: Any) -> Any:
        paths.append(request.url.path)
        return kept[0](self, request, **options)

    async def send_later(self: Any, request: Any, **options: Any) -> Any:
        paths.append(request.url.path)
        return await kept[1](self, request, **options)

    httpx.Client.send, httpx.AsyncClient.send = send, send_later  # type: ignore[method-assign, assignment]
    try:
        yield paths
    finally:
        httpx.Client.send, httpx.AsyncClient.send = kept  # type: ignore[method-assign]


def extractor_of(partitions: int) -> Any:
    """Stand in for an extraction that has measured 20 s a partition."""
    keys = [PartitionKey(0, number) for number in range(partitions)]
    writer = SimpleNamespace(spec=SimpleNamespace(prompt=SimpleNamespace(key="coarse")))
    return SimpleNamespace(
        pending=lambda: keys,
        claims=lambda position: SimpleNamespace(entries=dict, holder=lambda partition: None),
        n_rows=lambda *key: ROWS,
        timings=SimpleNamespace(clips=ROWS, seconds=20.0, spent={"loading": 0.0}),
        plan=SimpleNamespace(samplings=[SimpleNamespace(sampling=SimpleNamespace(key="set"), writers=[writer])]),
    )


def overhead_of_spans(team: Team, partitions: int) -> dict[str, Any]:
    """Cut many partitions into spans without work, a task each: requests before the first, and milliseconds of one."""

    def nothing(span: Span) -> int:
        return len(span)

    span_task = step(nothing, "extract", "extract {span.name}")
    counts: dict[str, Any] = {}

    @flow
    def cut() -> None:
        with counted_requests() as paths:
            found = spans(extractor_of(partitions))
            first = next(found)
            counts["requests before the first span"] = len(paths)
            begun, done = time.monotonic(), span_task(first)
            count = 1
            for span in found:
                stop_if_suspended()
                done += span_task(span)
                count += 1
            counts["spans"], counts["partitions"] = count, done
            counts["milliseconds a span"] = 1000 * (time.monotonic() - begun) / count
            counts["requests in all"] = len(paths)

    with temporary_settings({PREFECT_API_URL: team.url}):
        cut()
    return counts


def database_after(team: Team, job: Path, runs: int) -> dict[str, float]:
    """Return megabytes of the database before and after `runs` runs of a finished job, and the seconds of one run."""

    def size() -> float:
        return sum(path.stat().st_size for path in team.database.parent.glob("prefect.db*")) / 1e6

    time.sleep(10)  # events are written behind
    before, begun = size(), time.monotonic()
    with temporary_settings({PREFECT_API_URL: team.url}):
        for _ in range(runs):
            extract_features(str(job))
    seconds = (time.monotonic() - begun) / runs
    time.sleep(30)
    return {"runs": runs, "MB before": before, "MB after": size(), "seconds a run": seconds}


def with_workers(team: Team, job: Path, folder: Path, workers: int) -> dict[str, float]:
    """Extract anew with `workers` workers; return the seconds of the run, and clips per second while all compute."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names = [f"worker{number}" for number in range(workers)]
    start_workers(team, *names)
    parameters = {"config": str(job), "workspace": str(folder), "workers": workers, "span_minutes": 0.3}
    run = team.create("extract-features", parameters)
    done = team.wait_for(run, "Completed")
    helpers = [one for one in team.runs_of("extract-partitions") if one.parameters["workspace"] == str(folder)]
    for name in names:
        team.kill(name)
    (store,) = folder.glob("features/*/*/*/*.zarr")
    times = sorted(path.stat().st_mtime for path in store.with_suffix(".records").glob("*.json"))
    assert done.start_time is not None
    # The second worker begins later than the first by its imports; from its first partition on both compute.
    begun = {"runs": 1 + len(helpers), "seconds of the run": times[-1] - done.start_time.timestamp()}
    late = times[len(times) // 4 :]
    return {**begun, "clips per second": ROWS * (len(late) - 1) / (late[-1] - late[0])}


def two_workers(team: Team, job: Path, rounds: int, folder: Path) -> dict[str, Any]:
    """Measure one worker and two in turns, and compare all stores with that of one process."""
    (reference,) = job.parent.glob("features/*/*/*/*.zarr")
    found: dict[str, list[dict[str, float]]] = {"1": [], "2": []}
    for _ in range(rounds):
        for workers in (1, 2):
            out = folder / f"of{workers}"
            found[str(workers)].append(with_workers(team, job, out, workers))
            (store,) = out.glob("features/*/*/*/*.zarr")
            assert compare(store, reference, values=True).verdict == 0
            assert _shards(store) == _shards(reference)
    best = {name: max(each["clips per second"] for each in cases) for name, cases in found.items()}
    return {"cases": found, "ratio of the best": best["2"] / best["1"], "stores": "equal to the bit"}


def _shards(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.glob("*/c/**/*") if path.is_file()}


PARTS = ("start", "spans", "database", "workers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--partitions", type=int, default=24, help="of the job that workers share")
    parser.add_argument("--size", type=int, default=112, help="side of a frame in pixels")
    parser.add_argument("--cut", type=int, default=2000, help="partitions that are cut into spans")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"prefect": version("prefect"), "cores": os.cpu_count()}

    def measured(part: str, values: dict[str, Any]) -> None:
        print(json.dumps({part: values}, indent=2), flush=True)
        found[part] = values
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=2) + "\n")

    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        job = write_work(folder / "work", arguments.partitions, arguments.size)
        alone(job)
        if "start" in arguments.parts:
            measured("seconds to the first task, embedded", start_of_embedded(folder, job))
        with team_of(folder / "team", OMP_NUM_THREADS="1") as team:
            for pool in ("gpu", "cpu"):
                team.command("work-pool", "create", pool, "--type", "process")
            team.command("deploy", "--all", cwd=ROOT)
            if "start" in arguments.parts:
                measured("seconds to the first task, server", start_on_server(team, job))
            if "spans" in arguments.parts:
                measured("spans", overhead_of_spans(team, arguments.cut))
            if "database" in arguments.parts:
                measured("database", database_after(team, job, arguments.runs))
            if "workers" in arguments.parts:
                measured("workers", two_workers(team, job, arguments.rounds, folder))


if __name__ == "__main__":
    main()
