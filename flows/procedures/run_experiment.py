"""The flow `run-experiment`: both stages of a job, then its tables and its page."""

import vadprobe.flows.deployments.defaults  # noqa: F401 - before prefect is imported

# isort: split
from prefect import State, flow

from vadprobe.flows.analyze_features import analyze_features
from vadprobe.flows.extract_features import extract_features
from vadprobe.flows.procedures.measure_tables import measure_tables
from vadprobe.flows.procedures.parameters import Pool, TableName
from vadprobe.flows.procedures.steps.pools import run_on
from vadprobe.flows.render_report import render_report
from vadprobe.flows.runs.endings import UNREADABLE, ending_of
from vadprobe.flows.runs.labels import label_run
from vadprobe.flows.runs.loading import load_run_job
from vadprobe.flows.runs.logs import log_of_run
from vadprobe.flows.runs.parameters import AnalysisOverrides, ExtractionOverrides, JobName, Workspace

NO_TABLES: list[TableName] = []
AS_EXTRACTED, AS_ANALYZED = ExtractionOverrides(), AnalysisOverrides()


@flow(name="run-experiment", flow_run_name="{config}", persist_result=False)
def run_experiment(
    config: JobName = "hiprobe",
    workspace: Workspace = None,
    extraction: ExtractionOverrides = AS_EXTRACTED,
    analysis: AnalysisOverrides = AS_ANALYZED,
    tables: list[TableName] = NO_TABLES,
    extraction_pool: Pool = "gpu",
    analysis_pool: Pool = None,
    strict: bool = False,
) -> State[str]:
    """Extract a job's features on one work pool, then analyze them, measure tables and draw the page on another.

    Each part is a child run of this run. Work that earlier runs have done is not repeated.

    Args:
        config: a shipped job by its name, or the path of a job file of your own, which ends in .toml.
        workspace: folder on the workers' machines where the job's relative paths begin, in place of the file's own.
        extraction: settings of the extraction, in place of those of the job.
        analysis: settings of the analysis, in place of those of the job.
        tables: tables to measure; none: the result alone.
        extraction_pool: work pool with a deployment of extract-features; none, or nothing deployed: this process.
        analysis_pool: work pool of all that comes after; none: this process, wherever it runs.
        strict: fail if a video or a clip cannot be read; what was written stays.

    Returns:
        The state that the run ends in, with the sentences of each part.
    """
    with log_of_run():
        job = load_run_job(config, workspace, analysis)
        label_run(job, with_method=True)
        same = {"workspace": workspace}
        reading = {"overrides": extraction, "strict": strict, **same}
        extracted = run_on(extraction_pool, extract_features, config=config, **reading)
        analyzed = run_on(analysis_pool, analyze_features, config=config, overrides=analysis, **same)
        states = [extracted, analyzed]
        if tables:
            states.append(run_on(analysis_pool, measure_tables, names=tables, configs=[config], **same))
        states.append(run_on(analysis_pool, render_report, configs=[config], **same))
    missing = "some videos or clips" if extracted.name == UNREADABLE else ""
    first = f"The result is in {job.out}."
    return ending_of([first, *(str(state.message) for state in states if state.message)], missing, strict=False)
