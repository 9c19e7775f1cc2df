"""Parameters of these flows, typed for the form of Prefect's UI."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vadprobe.flows.runs.parameters import JobName

TableName = Literal[
    "hiprobe-1",
    "hiprobe-2",
    "hiprobe-3",
    "hiprobe-4",
    "hiprobe-5",
    "headhunt-1",
    "headhunt-2",
    "headhunt-3",
    "layers",
    "heads",
    "locators-hiprobe",
    "locators-headhunt",
    "backbones",
    "transfer",
    "efficiency",
    "comparison",
    "comparison-kinds",
    "comparison-transfer",
]
"""Names of the tables. They are repeated here so that a form imports nothing of stage 2; a test compares them."""

Jobs = Annotated[list[JobName], Field(min_length=1, title="Jobs")]
"""At least one job."""

DetectorFile = Annotated[
    str,
    Field(
        pattern=r"\.json$",
        title="Detector",
        description="The file of a detector, detector.json, on the worker's machine.",
    ),
]

Seconds = Annotated[float | None, Field(gt=0, title="Watch for (seconds)")]

Folder = Annotated[str, Field(min_length=1)]


Pool = Annotated[str | None, Field(min_length=1, title="Work pool")]


class Intervals(BaseModel):
    """Intervals of the numbers, by a bootstrap over videos."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    resamples: int = Field(default=1000, title="Resamples", description="0: no intervals.", ge=0)
    seed: int = Field(default=0, title="Seed", description="Of the resamples.", ge=0)
    confidence: float = Field(default=0.95, title="Confidence", description="Share of the resamples.", gt=0, lt=1)


class DetectionSettings(BaseModel):
    """Settings of a detection, in place of those of the detector."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    explain: bool = Field(
        default=False, title="Explain", description="Let the backbone say what happens in each event; generated texts."
    )
    backbone: str | None = Field(
        default=None,
        title="Backbone",
        description="Checkpoint folder or hub id, in place of the one that the detector names.",
    )
    device: str = Field(
        default="auto",
        title="Device",
        description="'auto' takes a GPU when there is one; else 'cpu', 'cuda:1' and so on.",
        pattern=r"^[a-z]+(:\d+)?$",
    )
    threads: int | None = Field(default=None, title="Threads", description="CPU threads of the model.", ge=1)
    look_ahead: int | None = Field(
        default=None,
        title="Look-ahead (segments)",
        description="Segments that a smoothed score waits for: 0 is causal; none: offline.",
        ge=0,
    )
    stay_above: float | None = Field(
        default=None,
        title="Stay above (score)",
        description="An event goes on while the smoothed score is above this; none: the threshold.",
    )
    batch: int | None = Field(default=None, title="Batch (segments)", description="Segments of one pass.", ge=1)
