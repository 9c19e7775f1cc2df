"""States that a run of stage 1 ends in."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prefect import State
from prefect.states import Completed, Failed

if TYPE_CHECKING:
    from vadprobe.store.files.text import counted
from vadprobe.flows.jobs.extract_job import ExtractionSummary

UNREADABLE = "Completed with unreadable videos"
"""Name of the state of a run that could not read all there is; the command's exit code 3."""


def ending(summary: "ExtractionSummary", strict: bool) -> State[str]:
    """Return the state of a run by what could be read.

    Args:
        summary: what was done.
        strict: fail if anything could not be read.
    """
    missing = f"{counted(len(summary.unreadable_videos), 'video')} and {counted(len(summary.failed_clips), 'clip')}"
    return ending_of(list(summary.lines()), "" if summary.is_whole else missing, strict)


def ending_of(lines: Sequence[str], missing: str, strict: bool) -> State[str]:
    """Return the state of a run by what could be read.

    Args:
        lines: what was done, the most important first.
        missing: what could not be read, counted; empty for nothing.
        strict: fail if anything could not be read.
    """
    if not missing:
        return Completed(message=lines[0], data="\n".join(lines))
    message = f"{missing} could not be read; the artifact 'not-readable' names them. {lines[0]}"
    if strict:
        return Failed(message=message)
    return Completed(name=UNREADABLE, message=message, data="\n".join(lines))
