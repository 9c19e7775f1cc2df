"""Parameters of these flows, typed for the form of Prefect's UI."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

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
