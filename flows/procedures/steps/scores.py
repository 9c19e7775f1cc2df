"""Step of measuring scores as a task, and its artifacts."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.artifacts import create_image_artifact, create_table_artifact

from vadprobe.flows.jobs.experiments.score_source import ScoreSource
from vadprobe.flows.procedures.parameters import Intervals
from vadprobe.flows.runs.analysis_steps import result_rows
from vadprobe.flows.runs.artifacts.pictures import data_url
from vadprobe.flows.runs.faults import step, without_server
from vadprobe.flows.runs.labels import artifact_key
from vadprobe.flows.runs.loading import load_run_job, run_folder
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.video import Split
from vadprobe.store.errors import VadprobeError

if TYPE_CHECKING:
    from vadprobe.flows.jobs.truth_reader import TruthReader

_LOGGER = logging.getLogger(__name__)


def open_truth(config: str | None, workspace: str | None, dataset: DatasetConfig | None, split: Split) -> "TruthReader":
    """Open the ground truth of a job's dataset, or of a dataset that the run describes.

    Raises:
        VadprobeError: if both or neither are given, or there is no such job.
    """
    from vadprobe.flows.jobs.truth_reader import TruthReader, facts_of

    if (config is None) == (dataset is None):
        raise VadprobeError("either config (a job with a dataset) or dataset must be given, and not both.")
    job = None if config is None else load_run_job(config, workspace)
    section = job.config.dataset if job is not None else dataset
    assert section is not None  # one of them is given
    start = job.workspace if job is not None else run_folder() / (workspace or "")
    return TruthReader(section, start, split, facts_of(section, start, job, lambda done, total: None))


def measure(
    source: ScoreSource, reader: "TruthReader", threshold: float | None, intervals: Intervals, folder: Path
) -> list[str]:
    """Measure scores, write the files and publish the numbers; return the lines that the command prints."""
    from vadprobe.analyze.configuration import EvaluationConfig
    from vadprobe.flows.jobs.experiments.measured_scores import check_measuring, measure_scores

    bootstrap = EvaluationConfig(**intervals.model_dump())
    check_measuring(threshold, bootstrap, folder)
    found = measure_scores(source, reader, threshold, bootstrap, folder)
    lines = found.text(published=False).splitlines()
    for line in lines:
        _LOGGER.info(line)
    key = (reader.config.name, source.scores.stem)
    rows = result_rows({**found.measured.evaluation.to_json(), "preset": source.scores.name})
    with without_server():
        create_table_artifact(rows, key=artifact_key("scores", *key), description=f"{found.title}. Files: `{folder}`")
        if (picture := folder / "curves.png").name in found.files:
            about = f"{found.title}: ROC and PR curves."
            url = data_url(picture.read_bytes())
            create_image_artifact(url, key=artifact_key("curves", *key), description=about)
    return lines


truth_task = step(open_truth, "truth", "open the truth")
measure_task = step(measure, "measure", "measure {source.scores.name}")
