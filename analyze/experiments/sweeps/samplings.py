"""Samplings other than the job's own: those that have features, and those with another clip length or frame number."""

from collections.abc import Iterator

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.experiments.cases import ExperimentJob
from vadprobe.store.catalog.finding import stores_below
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.sampling import Sampling


def stored_segments(case: ExperimentJob) -> list[Sampling]:
    """Return the samplings of segments that have features of the job's backbone and score prompt."""
    return sorted(_stored(case), key=lambda sampling: (sampling.clip_length or 0, sampling.frames_per_clip))


def _stored(case: ExperimentJob) -> Iterator[Sampling]:
    for path in stores_below(case.layout.folder):
        unit, *numbers = path.parent.parent.name.split("-")
        if unit == "segment" and len(numbers) == 2 and all(number.isdecimal() for number in numbers):
            sampling = Sampling("segment", int(numbers[0]), int(numbers[1]))
            if path == case.layout.store(sampling, case.backbone, case.score_prompt):
                yield sampling


def with_segments(
    case: ExperimentJob, config: AnalysisConfig, clip_length: int, frames: int
) -> tuple[Sampling, ...] | None:
    """Return the samplings of other segments; None for the job's own ones.

    If the calibration set has whole videos, their number of frames is changed to that of a segment.

    Raises:
        VadprobeError: if `frames` is larger than `clip_length`.
    """
    own = case.segment
    if (clip_length, frames) == (own.clip_length, own.frames_per_clip):
        return None
    if frames > clip_length:
        raise VadprobeError(f"a clip of {clip_length} frames cannot show {frames}.")
    segment = Sampling("segment", clip_length, frames)
    if config.calibration.unit == "segment":
        return (segment,)
    if frames == own.frames_per_clip:
        return (segment, *(sampling for sampling in case.samplings if sampling.unit == "video"))
    return segment, Sampling("video", None, frames)
