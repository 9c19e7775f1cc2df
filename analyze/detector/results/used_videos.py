"""Reported videos that a detector has seen before: with their labels, or without (transductive)."""

from collections.abc import Sequence

from vadprobe.analyze.calibration.overlap import check_overlap, check_transductive, overlapping
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.features.inputs import AnalysisInputs


def find_overlap(
    inputs: AnalysisInputs, detector: Detector, reported: Sequence[str], allow_overlap: bool
) -> tuple[str, ...]:
    """Find the reported videos that the detector was fitted or tuned on.

    Raises:
        VadprobeError: if there are some, unless that is allowed.
    """
    found: set[str] = set()
    for what in ("fitted", "tuned"):
        names = _used(inputs, detector, reported, what)
        check_overlap(names, what, allow_overlap)
        found |= set(names)
    return tuple(sorted(found))


def find_transductive(
    inputs: AnalysisInputs, detector: Detector, reported: Sequence[str], allowed: bool
) -> tuple[str, ...]:
    """Find the reported videos whose rows the fit saw without their labels.

    Raises:
        VadprobeError: if there are some, unless that is allowed.
    """
    names = _used(inputs, detector, reported, "unlabelled")
    check_transductive(names, allowed)
    return names


def _used(inputs: AnalysisInputs, detector: Detector, reported: Sequence[str], what: str) -> tuple[str, ...]:
    """Return the reported videos that the provenance names as "fitted", "tuned" or "unlabelled"."""
    fingerprints = {video.video_id: video.fingerprint for video in inputs.probed}
    named = {name: fingerprints.get(name, "") for name in reported}
    same_dataset = detector.provenance.get("dataset") == inputs.truth.name
    return overlapping(named, detector.provenance.get(f"{what}_on", {}), same_dataset=same_dataset)


def transductive_warning(videos: Sequence[str]) -> str:
    """Return the caveat for results on videos whose rows a fit has seen without labels."""
    return (
        f"Transductive: the fit saw the features of {len(videos)} of the reported videos, without their "
        "labels, as allowed by allow_transductive: these numbers hold for these videos together, not for "
        "new ones."
    )


def overlap_warning(videos: Sequence[str]) -> str:
    """Return the caveat for results on videos that something was fitted or tuned on."""
    return (
        f"Fitted or tuned on {len(videos)} of the reported videos, as allowed by allow_overlap: these numbers say "
        "nothing about new videos."
    )
