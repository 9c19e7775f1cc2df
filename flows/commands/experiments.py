"""``vadprobe table | stability | probing``: the papers' tables, how stable a choice is, and every layer by itself."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vadprobe.flows.jobs.job import Job, load_job
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_bytes, write_json

if TYPE_CHECKING:
    from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob

_DRAWS, _FOLDS = 5, 5


def add_experiment_commands(commands: Any) -> None:
    """Add ``table``, ``stability`` and ``probing``."""
    text = "measure tables of both papers: comparisons, transfers, ablations"
    table = commands.add_parser("table", help=text, description=text[0].upper() + text[1:] + ".")
    table.add_argument("names", nargs="*", metavar="NAME", help="tables, such as hiprobe-3 headhunt-2; see --list")
    table.add_argument("--all", action="store_true", help="every table")
    table.add_argument("--list", action="store_true", help="say which tables there are")
    table.add_argument(
        "--jobs",
        type=Path,
        nargs="+",
        default=[],
        metavar="CONFIG",
        help="job files: the first of each method is measured, others give more datasets and backbones",
    )
    table.set_defaults(command=_table)
    text = "how often each layer or head is chosen over calibration draws and prompts"
    stability = commands.add_parser("stability", help=text, description=text[0].upper() + text[1:] + ".")
    stability.add_argument("config", type=Path, metavar="CONFIG", help="the job file (TOML)")
    stability.set_defaults(command=_stability)
    for parser in (table, stability):
        parser.add_argument(
            "--draws", type=int, default=_DRAWS, metavar="N", help=f"calibration draws; default: {_DRAWS}"
        )
    text = "probe every layer and head by itself, cross-validated by video"
    probing = commands.add_parser("probing", help=text, description=text[0].upper() + text[1:] + ".")
    probing.add_argument("config", type=Path, metavar="CONFIG", help="the job file (TOML)")
    probing.add_argument("--folds", type=int, default=_FOLDS, metavar="N", help=f"of videos; default: {_FOLDS}")
    probing.add_argument("--probe", choices=("ridge", "logistic"), default="ridge", help="default: ridge")
    probing.set_defaults(command=_probing)
    for parser in (table, stability, probing):
        parser.add_argument(
            "--fraction", type=float, metavar="F", help="of the training videos in a draw, in place of the job's"
        )
        parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: below the first job's results")


def _table(options: argparse.Namespace) -> int:
    from vadprobe.analyze.experiments.tables import TABLES, check_names

    if options.list:
        print("\n".join(f"{name:12} {text}" for name, (text, _) in TABLES.items()))
        return 0
    if not options.all and not options.names:
        raise VadprobeError("no table is named; name some, or --all for every one. 'vadprobe table --list' lists them.")
    names = list(TABLES) if options.all else list(dict.fromkeys(options.names))
    check_names(names)
    if not options.jobs:
        raise VadprobeError(
            "no job is named; give at least one after --jobs, for example --jobs configs/headhunt.toml."
        )
    jobs = [load_job(path) for path in options.jobs]
    print_tables(jobs, names, options.draws, options.fraction, options.out or jobs[0].out / "tables")
    return 0


def print_tables(jobs: Sequence[Job], names: Sequence[str], draws: int, fraction: float | None, folder: Path) -> None:
    """Measure tables, print each when it is ready, and write them to a folder as JSON and Markdown."""
    from vadprobe.analyze.experiments.rows import markdown_lines, table_lines
    from vadprobe.analyze.experiments.tables import measured_table

    with _laboratory(jobs, draws, fraction, "tables", len(names)) as lab:
        tables = []
        for name in names:
            tables.append(measured_table(lab, name))
            print("\n".join(table_lines(tables[-1])) + "\n", flush=True)
            write_json(folder / f"{name}.json", tables[-1].to_json())
            lines = [line for table in tables for line in markdown_lines(table)]
            write_bytes(folder / "tables.md", "\n".join(lines).encode())
    print(f"{_steps_sentence(lab)}\nTables: {folder / 'tables.md'}")


def _stability(options: argparse.Namespace) -> int:
    from vadprobe.analyze.experiments.stability_report import stability_report
    from vadprobe.analyze.report.figures import frequency_map

    job = load_job(options.config)
    folder = options.out or job.out / "stability"
    with _laboratory([job], options.draws, options.fraction, "rankings", len(job.prompts) + 1) as lab:
        report = stability_report(lab, lab.cases[0])
    print("\n".join(report.lines()))
    write_json(folder / "stability.json", report.to_json())
    frequencies = {key: one.frequency for key, one in report.found.items() if one is not None}
    if frequencies:
        write_bytes(folder / "stability.png", frequency_map(frequencies))
    print(f"{_steps_sentence(lab)}\nStability: {folder / 'stability.json'}")
    return 0


def _probing(options: argparse.Namespace) -> int:
    from vadprobe.analyze.experiments.probing_report import probing_report
    from vadprobe.analyze.report.figures import auc_map

    job = load_job(options.config)
    folder = options.out or job.out / "probing"
    with _laboratory([job], 1, options.fraction, "prompts", len(job.prompts)) as lab:
        report = probing_report(lab, lab.cases[0], options.folds, options.probe)
    print("\n".join(report.lines()))
    write_json(folder / "probing.json", report.to_json())
    write_bytes(folder / "probing.png", auc_map(report.layers, report.heads))
    print(f"{_steps_sentence(lab)}\nProbing: {folder / 'probing.json'}")
    return 0


@contextmanager
def _laboratory(
    jobs: Sequence[Job], draws: int, fraction: float | None, what: str, total: int
) -> Iterator["ExperimentContext"]:
    from vadprobe.analyze.compute.cluster import open_scheduler
    from vadprobe.analyze.compute.step_cache import StepCache
    from vadprobe.analyze.experiments.cases import ExperimentContext

    if draws < 1:
        raise VadprobeError(f"--draws is {draws}; at least one calibration draw is wanted.")
    if fraction is not None and not 0 < fraction <= 1:
        raise VadprobeError(f"--fraction is {fraction}; a number above 0 and up to 1 is wanted.")
    cases = tuple(case_of(job, fraction) for job in jobs)
    first = jobs[0].analysis
    with open_scheduler(first.scheduler, first.workers) as scheduler, _counting(what, total) as report:
        yield ExperimentContext(cases, StepCache(jobs[0].workspace / first.steps), scheduler, draws, report)


@contextmanager
def _counting(what: str, total: int) -> Iterator[Callable[[str, str], None]]:
    """A bar on standard error over tables (or rankings), with the row that is being measured."""
    import sys

    from tqdm import tqdm

    begun: list[str] = []
    with tqdm(total=total, desc=what, file=sys.stderr, dynamic_ncols=True, leave=False) as bar:

        def report(part: str, label: str) -> None:
            if part and part not in begun:
                bar.update(1 if begun else 0)
                begun.append(part)
            bar.set_postfix_str(f"{begun[-1] if begun else part}: {label}")

        yield report


def case_of(job: Job, fraction: float | None) -> "ExperimentJob":
    """A job as tables vary it; they fit their own detectors, so a finished one that the job names is left aside."""
    from vadprobe.analyze.experiments.cases import ExperimentJob, varied
    from vadprobe.flows.jobs.analyze_job import open_truth_of

    truth, probed = open_truth_of(job)
    drawn = {} if fraction is None else {"calibration": {"fraction": fraction}}
    return ExperimentJob(
        name=job.path.name,
        config=varied(job.analysis, detector=None, **drawn),
        truth=truth,
        probed=tuple(probed),
        layout=job.layout,
        samplings=job.samplings,
        backbone=job.config.backbone.key,
        prompts=tuple(prompt.key for prompt in job.prompts),
    )


def _steps_sentence(lab: "ExperimentContext") -> str:
    computed = len(lab.cache.computed)
    return f"{computed} steps were computed, {len(lab.cache.runs) - computed} taken from earlier runs."
