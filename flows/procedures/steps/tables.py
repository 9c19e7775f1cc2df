"""Step of measuring a table as a task, and its artifacts."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.artifacts import create_markdown_artifact

from vadprobe.flows.runs.faults import step, without_server
from vadprobe.flows.runs.labels import artifact_key, set_label

if TYPE_CHECKING:
    from vadprobe.analyze.experiments.cases import ExperimentContext
    from vadprobe.flows.jobs.experiments.table_files import TableFiles
    from vadprobe.flows.jobs.job import Job

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableRun:
    """The context in which the tables of a run are measured, and their files."""

    context: "ExperimentContext"
    files: "TableFiles"


@contextmanager
def open_tables(
    jobs: "Sequence[Job]", names: Sequence[str], draws: int, fraction: float | None, folder: Path
) -> Iterator[TableRun]:
    """Open the jobs, the step cache and the scheduler of the first job, and the files of the tables.

    Raises:
        VadprobeError: if there is no such table, or the features of a job are missing.
    """
    from vadprobe.analyze.experiments.tables import check_names
    from vadprobe.flows.jobs.experiments.context import open_context, steps_sentence
    from vadprobe.flows.jobs.experiments.table_files import TableFiles

    check_names(names)
    with open_context(jobs, draws, fraction, "tables", len(names)) as context:
        yield TableRun(context, TableFiles.of(jobs, names, draws, folder))
        _LOGGER.info(steps_sentence(context))


def label_tables(jobs: "Sequence[Job]", names: Sequence[str]) -> None:
    """Name the current run after its tables and the first job, and tag it with all datasets, backbones and methods."""
    tags = {
        f"{kind}:{value}"
        for job in jobs
        for kind, value in (
            ("dataset", job.config.dataset.name),
            ("backbone", job.config.backbone.key),
            ("method", job.analysis.method),
        )
    }
    set_label(f"{', '.join(names)[:60]} of {jobs[0].path.stem} {jobs[0].digest[:8]}", sorted(tags))


def measure(run: TableRun, name: str) -> None:
    """Measure a table, write and publish it."""
    from vadprobe.analyze.experiments.rows import markdown_lines, table_lines
    from vadprobe.analyze.experiments.tables import measured_table

    table = measured_table(run.context, name)
    run.files.add(table)
    for line in table_lines(table):
        _LOGGER.info(line)
    about = f"The same on a terminal: `{run.files.command}`"
    key = artifact_key("table", name, table.dataset, table.backbone)
    with without_server():
        create_markdown_artifact("\n".join(markdown_lines(table)), key=key, description=about)


measure_task = step(measure, "measure", "measure {name}")
