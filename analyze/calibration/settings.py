"""The section `[analysis.calibration]` of a job: the calibration set that everything is fitted on."""

from typing import Annotated, Literal

from pydantic import Field

from vadprobe.store.settings import OpenReading, Section

_UNIT = OpenReading("calibration sample", '"video level"', "every clip of the calibration videos")
_FRACTION = OpenReading(
    "calibration size", "1 % of the training videos", "any; 16 samples are very few: report several draws"
)


class CalibrationConfig(Section):
    """Section `[analysis.calibration]`: the training samples that everything is fitted on."""

    unit: Annotated[Literal["video", "segment"], _UNIT] = Field(
        default="video", description="both papers: one vector per calibration video, frames sampled over all of it"
    )
    fraction: Annotated[float, _FRACTION] = Field(
        default=0.01, gt=0, le=1, description="both papers: one per cent of the training videos, stratified"
    )
    seed: int = Field(default=0, ge=0, description="seed of the draw of training videos")
    segment_label: Literal["video", "interval"] = Field(
        default="video", description="with unit 'segment': the label of the video, or whether an interval covers it"
    )
