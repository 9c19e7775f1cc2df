"""The commands table, stability and probing: the papers' tables, stability of a choice, every layer by itself."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vadprobe.flows.commands.options import Positive, Whole
from vadprobe.flows.jobs.job import Job, load_job
from vadprobe.flows.jobs.progress import open_bar
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_bytes, write_json

if TYPE_CHECKING:
    from tqdm import tqdm

    from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob


@Parameter(name="*")
@dataclass(frozen=True)
class ExperimentOptions:
    """Options of every experiment."""

    fraction: float | None = None
    """fraction of the training videos in a draw, in place of the job's"""
    out: Path | None = None
    """folder of the results; default: below those of the first job"""

    def __post_init__(self) -> None:
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise VadprobeError(f"--fraction must be above 0 and at most 1, got {self.fraction}.")


def table(
    *names: str,
    every: Annotated[bool, Parameter(name="--all")] = False,
    show_names: Annotated[bool, Parameter(name="--list")] = False,
    jobs: Annotated[tuple[Path, ...], Parameter(consume_multiple=(1, None), metavar="CONFIG")] = (),
    draws: Positive = 5,
    options: ExperimentOptions = ExperimentOptions(),
) -> int:
    """Measure tables of both papers: comparisons, transfers, ablations.

    Args:
        names: tables, such as hiprobe-3 headhunt-2; see --list
        every: every table
        show_names: say which tables there are
        jobs: job files: the first of each method is measured, others give more datasets and backbones
        draws: calibration draws
    """
    from vadprobe.analyze.experiments.tables import TABLES, check_names

    if show_names:
        print("\n".join(f"{name:19} {text}" for name, (text, _) in TABLES.items()))
        return 0
    if not every and not names:
        raise VadprobeError("no table is named; name some, or --all for every one. 'vadprobe table --list' lists them.")
    chosen = list(TABLES) if every else list(dict.fromkeys(names))
    check_names(chosen)
    if not jobs:
        raise VadprobeError(
            "no job is named; give at least one after --jobs, for example --jobs configs/headhunt.toml."
        )
    loaded = [load_job(path) for path in jobs]
    print_tables(loaded, chosen, draws, options.fraction, options.out or loaded[0].out / "tables")
    return 0


def print_tables(jobs: Sequence[Job], names: Sequence[str], draws: int, fraction: float | None, folder: Path) -> None:
    """Measure tables, print each when it is ready, and write them to a folder as JSON and Markdown."""
    from vadprobe.analyze.experiments.rows import markdown_lines, table_lines
    from vadprobe.analyze.experiments.tables import measured_table

    with _context(jobs, draws, fraction, "tables", len(names)) as context:
        tables = []
        for name in names:
            tables.append(measured_table(context, name))
            print("\n".join(table_lines(tables[-1])) + "\n", flush=True)
            write_json(folder / f"{name}.json", tables[-1].to_json())
            lines = [line for table in tables for line in markdown_lines(table)]
            write_bytes(folder / "tables.md", "\n".join(lines).encode())
    print(f"{_steps_sentence(context)}\nTables: {folder / 'tables.md'}")


def stability(config: Path, /, *, draws: Positive = 5, options: ExperimentOptions = ExperimentOptions()) -> int:
    """Measure how often each layer or head is chosen over calibration draws and prompts.

    Args:
        config: the job file (TOML)
        draws: calibration draws
    """
    from vadprobe.analyze.experiments.stability_report import stability_report
    from vadprobe.analyze.report.figures import frequency_map

    job = load_job(config)
    folder = options.out or job.out / "stability"
    with _context([job], draws, options.fraction, "rankings", len(job.prompts) + 1) as context:
        report = stability_report(context, context.cases[0])
    notes = context.cases[0].notes
    print("\n".join([*report.lines(), *(f"Note: {note}" for note in notes)]))
    write_json(folder / "stability.json", {**report.to_json(), "notes": list(notes)})
    frequencies = {key: one.frequency for key, one in report.found.items() if one is not None}
    if frequencies:
        write_bytes(folder / "stability.png", frequency_map(frequencies))
    print(f"{_steps_sentence(context)}\nStability: {folder / 'stability.json'}")
    return 0


def probing(
    config: Path,
    /,
    *,
    folds: Whole = 5,
    probe: Literal["ridge", "logistic"] = "ridge",
    options: ExperimentOptions = ExperimentOptions(),
) -> int:
    """Probe every layer and head by itself, cross-validated by video.

    Args:
        config: the job file (TOML)
        folds: folds of videos
        probe: the probe that is fitted
    """
    from vadprobe.analyze.experiments.probing_report import probing_report
    from vadprobe.analyze.report.figures import auc_map

    job = load_job(config)
    folder = options.out or job.out / "probing"
    with _context([job], 1, options.fraction, "prompts", len(job.prompts)) as context:
        report = probing_report(context, context.cases[0], folds, probe)
    notes = context.cases[0].notes
    print("\n".join([*report.lines(), *(f"Note: {note}" for note in notes)]))
    write_json(folder / "probing.json", {**report.to_json(), "notes": list(notes)})
    write_bytes(folder / "probing.png", auc_map(report.layers, report.heads))
    print(f"{_steps_sentence(context)}\nProbing: {folder / 'probing.json'}")
    return 0


@contextmanager
def _context(
    jobs: Sequence[Job], draws: int, fraction: float | None, what: str, total: int
) -> Iterator["ExperimentContext"]:
    from vadprobe.analyze.compute.cluster import open_scheduler
    from vadprobe.analyze.compute.step_cache import StepCache
    from vadprobe.analyze.experiments.cases import ExperimentContext

    cases = tuple(case_of(job, fraction) for job in jobs)
    first = jobs[0].analysis
    bar = open_bar(what, "it", total, leave=False)
    with open_scheduler(first.scheduler, first.workers) as scheduler, bar:
        yield ExperimentContext(cases, StepCache(jobs[0].workspace / first.steps), scheduler, draws, _counting(bar))


def _counting(bar: "tqdm[Any]") -> Callable[[str, str], None]:
    """Return a callback of (part, label) that counts parts, such as tables, and shows the row being measured."""
    begun: list[str] = []

    def report(part: str, label: str) -> None:
        if part and part not in begun:
            bar.update(1 if begun else 0)
            begun.append(part)
        bar.set_postfix_str(f"{begun[-1] if begun else part}: {label}")

    return report


def case_of(job: Job, fraction: float | None) -> "ExperimentJob":
    """Return a job as tables vary it.

    Tables fit their own detectors, so a finished one that the job names is left aside.
    """
    from vadprobe.analyze.experiments.cases import ExperimentJob, varied
    from vadprobe.analyze.experiments.methods.text_output import TEXTS
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
        texts=job.out / TEXTS,
    )


def _steps_sentence(context: "ExperimentContext") -> str:
    computed = len(context.cache.computed)
    return f"{computed} steps were computed, {len(context.cache.runs) - computed} taken from earlier runs."
