"""The demo: a generated surveillance set, a tiny backbone with random weights, and both methods on them."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from importlib.resources import as_file, files
from pathlib import Path

from vadprobe.analyze.detector.benchmark import format_table
from vadprobe.analyze.experiments.tables import TABLES
from vadprobe.extract.demo.surveillance import make_surveillance_set
from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone
from vadprobe.flows.commands.experiments import print_tables
from vadprobe.flows.jobs.analyze_job import analyze, combine
from vadprobe.flows.jobs.extract_job import extract
from vadprobe.flows.jobs.job import load_job
from vadprobe.flows.jobs.progress import Bar
from vadprobe.store.files.atomic_files import read_json, write_json

PRESETS = ("hiprobe", "headhunt")
FOR_TABLES = ("sampling-rates", "second-backbone", "second-set")
"""Jobs whose features only the tables need."""

_SECOND_SET_VIDEOS = 32
_DRAWS, _FRACTION = 5, 0.75
_WORKERS = 2

Stage = Callable[[str, str], str]
"""Stage as a function of a job file and a workspace; it returns its summary or report."""


def run_demo(folder: Path, seed: int, with_prefect: bool = True, with_tables: bool = False) -> int:
    """Make what is missing below `folder`, run both presets there, print the result table.

    A second run finds its videos, features and results in place. `with_tables` makes a second set, a second backbone
    and more sampling rates too, and measures every table of both papers on them.

    Returns:
        The exit code 0; anything that fails raises.
    """
    folder = folder.resolve()
    print(f"[1/4] Videos with frame-level truth: {folder / 'surveillance'}", flush=True)
    make_surveillance_set(folder / "surveillance", seed=seed, workers=_WORKERS, progress=Bar("encoding", "video"))
    print("[2/4] A tiny Qwen2.5-VL with random weights that are never trained", flush=True)
    make_tiny_backbone(folder / "backbones" / "tiny-qwen2.5-vl", seed=seed)
    run_extract, run_analyze = _with_prefect(folder) if with_prefect else _plain()
    jobs = []
    for preset in PRESETS:
        with _preset(preset) as path:
            print(f"[3/4] Extracting features for {preset}", flush=True)
            print(run_extract(str(path), str(folder)), flush=True)
            print(f"[4/4] Analyzing {preset}", flush=True)
            run_analyze(str(path), str(folder))
            jobs.append(load_job(path, folder))
    results = [result for job in jobs for result in read_json(job.out / "results.json")["results"]]
    write_json(folder / "results.json", {"results": results})
    report = combine(jobs, folder / "report.html")
    print(f"\n{format_table(results)}\n\nResults: {folder / 'results.json'}\nReport:  {report}")
    if with_tables:
        _tables(folder, seed, run_extract)
    return 0


def _tables(folder: Path, seed: int, run_extract: Stage) -> None:
    """Extract what the tables need, then measure every table of both papers over draws of the training videos."""
    make_surveillance_set(
        folder / "surveillance-second",
        seed=seed + 1,
        n_videos=_SECOND_SET_VIDEOS,
        workers=_WORKERS,
        progress=Bar("encoding", "video"),
    )
    make_tiny_backbone(folder / "backbones" / "tiny-internvl", "internvl", seed=seed)
    for name in FOR_TABLES:
        with _preset(name) as path:
            print(f"Extracting features for {name}", flush=True)
            print(run_extract(str(path), str(folder)), flush=True)
    with ExitStack() as stack:
        paths = [stack.enter_context(_preset(name)) for name in (*PRESETS, *FOR_TABLES[1:])]
        jobs = [load_job(path, folder) for path in paths]
        print_tables(jobs, list(TABLES), _DRAWS, _FRACTION, folder / "tables")


def _preset(name: str) -> AbstractContextManager[Path]:
    return as_file(files("vadprobe.configs") / f"{name}.toml")


def _plain() -> tuple[Stage, Stage]:
    """Return both stages as the plain commands run them."""

    def run_extract(path: str, workspace: str) -> str:
        return "\n".join(extract(load_job(Path(path), Path(workspace))).lines())

    def run_analyze(path: str, workspace: str) -> str:
        return str(analyze(load_job(Path(path), Path(workspace))).report)

    return run_extract, run_analyze


def _with_prefect(folder: Path) -> tuple[Stage, Stage]:
    """Return both stages as flows, on a Prefect in this process with its database below `folder`."""
    os.environ.pop("PREFECT_API_URL", None)
    os.environ.update(
        PREFECT_HOME=str(folder / "prefect"),
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120",
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        DO_NOT_TRACK="1",
    )
    # Prefect reads its settings when it is imported, so only now.
    from vadprobe.flows.analyze_features import analyze_features
    from vadprobe.flows.extract_features import extract_features

    return extract_features, analyze_features
