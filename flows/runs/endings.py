"""States that a run of stage 1 ends in."""

from typing import TYPE_CHECKING

from prefect import State
from prefect.states import Completed, Failed

if TYPE_CHECKING:
    from vadprobe.flows.jobs.extract_job import ExtractionSummary

UNREADABLE = "Completed with unreadable videos"
"""Name of the state of a run that could not read all there is; the command's exit code 3."""


def ending(summary: "ExtractionSummary", strict: bool) -> State[str]:
    """Return the state of a run by what could be read.

    Args:
        summary: what was done.
        strict: fail if anything could not be read.
    """
    lines = list(summary.lines())
    if summary.is_whole:
        return Completed(message=lines[0], data="\n".join(lines))
    message = (
        f"{len(summary.unreadable_videos)} videos and {len(summary.failed_clips)} clips could not be read; the "
        f"artifact 'not-readable' names them. {lines[0]}"
    )
    if strict:
        return Failed(message=message)
    return Completed(name=UNREADABLE, message=message, data="\n".join(lines))
