"""Refusal to report on videos that a detector was fitted or tuned on."""

from collections.abc import Mapping, Sequence

from vadprobe.store.datasets.joining import naming
from vadprobe.store.errors import VadprobeError


def overlapping(reported: Mapping[str, str], used: Mapping[str, str], *, same_dataset: bool = True) -> tuple[str, ...]:
    """Return the reported videos that were also used, by name or by fingerprint.

    An empty fingerprint matches nothing.

    Args:
        reported: fingerprint by name of the videos whose scores are reported.
        used: fingerprint by name of the videos that something was fitted or tuned on.
        same_dataset: True if a name means the same video in both; if False, only fingerprints are compared.

    Returns:
        Names of reported videos, sorted.
    """
    files = {fingerprint for fingerprint in used.values() if fingerprint}
    names = used if same_dataset else {}
    return tuple(sorted(name for name, fingerprint in reported.items() if name in names or fingerprint in files))


def check_transductive(names: Sequence[str], allowed: bool) -> None:
    """Refuse to report on videos whose rows a fit has seen without their labels (transductive).

    Args:
        names: as `overlapping` returns them.
        allowed: the job's explicit permission; the result then names the videos.

    Raises:
        VadprobeError: naming the videos, unless allowed.
    """
    if names and not allowed:
        raise VadprobeError(
            f"the fit saw the rows of {len(names)} of the reported videos, without labels (transductive): "
            f"{naming(names)}. Such numbers hold for these videos together, not for new ones. Fit with "
            "probe.statistics = 'calibration'; allow_transductive = true in [analysis] reports it all the "
            "same, and stamps the result."
        )


def check_overlap(names: Sequence[str], what: str, allowed: bool) -> None:
    """Refuse to report on videos that something was fitted or tuned on.

    Args:
        names: as `overlapping` returns them.
        what: how they were used, for the message: "fitted" or "tuned".
        allowed: the job's explicit permission; the result then names the videos.

    Raises:
        VadprobeError: naming the videos, unless allowed.
    """
    if names and not allowed:
        raise VadprobeError(
            f"something was {what} on {len(names)} of the reported videos: {naming(names)}. Such numbers "
            "say nothing about new videos. Name a validation split ([dataset.validation]) or other "
            "training videos; allow_overlap = true in [analysis] reports it all the same, and stamps the "
            "result."
        )
