"""The command table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vadprobe.flows.commands.experiments.options import ExperimentOptions
from vadprobe.flows.commands.options import Positive
from vadprobe.flows.jobs.experiments.context import open_context, steps_sentence
from vadprobe.flows.jobs.experiments.table_files import TableFiles
from vadprobe.flows.jobs.job import Job, load_job
from vadprobe.flows.jobs.progress import say
from vadprobe.store.errors import VadprobeError


def table(
    *names: str,
    every: Annotated[bool, Parameter(name="--all")] = False,
    show_names: Annotated[bool, Parameter(name="--list")] = False,
    jobs: Annotated[tuple[Path, ...], Parameter(consume_multiple=(1, None), metavar="CONFIG")] = (),
    draws: Positive = 5,
    options: ExperimentOptions = ExperimentOptions(),
) -> int:
    """Measure the tables of both papers under their numbers, and tables of our own.

    Example: vadprobe table hiprobe-4 layers --jobs my-job.toml

    Args:
        names: tables, such as hiprobe-4 headhunt-3 heads; see --list
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
        raise VadprobeError("no table is named; name at least one, or give --all. 'vadprobe table --list' lists them.")
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
    """Measure tables, print each as soon as it is measured, and write them to a folder as JSON and Markdown."""
    from vadprobe.analyze.experiments.rows import table_lines
    from vadprobe.analyze.experiments.tables import measured_table

    with open_context(jobs, draws, fraction, "tables", len(names)) as context:
        files = TableFiles.of(jobs, names, draws, folder)
        for name in names:
            files.add(measured_table(context, name))
            say("\n".join(table_lines(files.tables[-1])) + "\n")
    print(f"{steps_sentence(context)}\nTables: {files.page}")
