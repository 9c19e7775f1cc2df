"""The flow `evaluate-scores`: scores of any origin against a ground truth."""

import vadprobe.flows.deployments.defaults  # noqa: F401 - before prefect is imported

# isort: split
from prefect import flow

from vadprobe.flows.jobs.experiments.score_source import ScoreSource
from vadprobe.flows.procedures.parameters import Intervals
from vadprobe.flows.procedures.steps.scores import measure_task, truth_task
from vadprobe.flows.runs.labels import set_label
from vadprobe.flows.runs.loading import run_folder
from vadprobe.flows.runs.logs import log_of_run
from vadprobe.flows.runs.parameters import JobName, Workspace
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.video import Split
from vadprobe.store.files.digests import digest_file

BY_VIDEOS = Intervals()


@flow(name="evaluate-scores", flow_run_name="{source.scores}", persist_result=False)
def evaluate_scores(
    source: ScoreSource,
    config: JobName | None = None,
    dataset: DatasetConfig | None = None,
    workspace: Workspace = None,
    split: Split = "test",
    threshold: float | None = None,
    intervals: Intervals = BY_VIDEOS,
    out: str | None = None,
) -> str:
    """Measure scores of any origin on frames, with intervals and baselines.

    Args:
        source: file of the scores on the worker's machine, and what to do with those that do not fit.
        config: a job whose dataset is the truth: a shipped one by its name, or the path of a job file.
        dataset: the truth itself, in place of a job's.
        workspace: folder on the worker's machine where relative paths of job and dataset begin.
        split: videos that are measured.
        threshold: above it a frame is anomalous; none: 0.5 for scores in [0, 1].
        intervals: settings of the intervals of the numbers.
        out: folder of the results; none: beside the scores, named like their file with '-evaluated' added.

    Returns:
        The numbers, in lines.
    """
    with log_of_run():
        source = source.model_copy(update={"scores": run_folder() / source.scores})
        reader = truth_task(config, workspace, dataset, split)
        set_label(f"{source.scores.stem} {digest_file(source.scores)[:8]}", [f"dataset:{reader.config.name}"])
        folder = run_folder() / out if out else source.scores.with_name(f"{source.scores.stem}-evaluated")
        return "\n".join(measure_task(source, reader, threshold, intervals, folder))
