"""Parameters of the flows, typed for the form of Prefect's UI."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from vadprobe.flows.jobs.job_files.merging import shipped_jobs


def _checked(name: str) -> str:
    """Return the name of a job.

    Raises:
        ValueError: if it can be neither a file nor a shipped job.
    """
    if not name.endswith(".toml") and name not in (known := shipped_jobs()):
        raise ValueError(
            f"config must be a job file that ends in .toml, or a shipped job ({', '.join(known)}), got {name!r}"
        )
    return name


_JOB_SCHEMA: dict[str, Any] = {
    "title": "Job",
    "description": "A shipped job by its name, or the path of a job file of your own, which ends in .toml.",
    # The form shows a deployment's value in the first of these, a text field; a list could not show a file's path.
    "anyOf": [
        {"title": "Job file", "type": "string", "pattern": r"\.toml$"},
        {"title": "Shipped job", "type": "string", "enum": list(shipped_jobs())},
    ],
}

JobName = Annotated[str, AfterValidator(_checked), WithJsonSchema(_JOB_SCHEMA)]
"""Job file, or shipped job; a name that is neither is refused when the run is created."""

Workspace = str | None
"""Folder on the worker's machine. The form shows the flows' docstrings, which say more."""


SpanMinutes = Annotated[float, Field(gt=0, title="Minutes of a span")]
"""Minutes that a task of stage 1 should take."""

Workers = Annotated[int, Field(ge=1, title="Workers")]
"""Runs that compute at once."""


class _Overrides(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExtractionOverrides(_Overrides):
    """Settings of a worker, in place of those of the job; none of them changes a feature."""

    device: str | None = Field(
        default=None, title="Device", description="'cpu', 'cuda', 'cuda:1' and so on.", pattern=r"^[a-z]+(:\d+)?$"
    )
    decoders: int | None = Field(
        default=None, title="Decoders", description="Processes that decode videos beside the model.", ge=1
    )
    prompts: tuple[str, ...] = Field(
        default=(), title="Prompts", description="Keys of the job's prompts to extract now; none: all of them."
    )


class AnalysisOverrides(_Overrides):
    """Settings of stage 2, in place of those of the job; none of them changes a result."""

    scheduler: str | None = Field(
        default=None,
        title="Dask scheduler",
        description="'processes', 'threads', the address of a cluster, such as tcp://host:8786, or 'cluster': the one "
        "that the job describes.",
        pattern=r"^(processes|threads|cluster|[a-z]+://\S+)$",
    )
    workers: int | None = Field(
        default=None, title="Dask workers", description="Processes of one thread each; 0: in this one.", ge=0
    )
    curves: int | None = Field(
        default=None, title="Curves", description="Videos whose scores are drawn in the report.", ge=0
    )
