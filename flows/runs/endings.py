"""States that a run of stage 1 ends in."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prefect import State
from prefect.states import Completed, Failed

from vadprobe.store.files.text import counted

if TYPE_CHECKING:
    from vadprobe.flows.jobs.reports.extraction_summary import ExtractionSummary

UNREADABLE = "Completed with unreadable videos"
"""Name of the state of a run in which some videos or clips could not be read, as exit code 3 of the command."""


def ending(summary: "ExtractionSummary", strict: bool) -> State[str]:
    """Return the state of a run by what could be read.

    Args:
        summary: the summary of the run.
        strict: fail if anything could not be read.
    """
    missing = f"{counted(len(summary.unreadable_videos), 'video')} and {counted(len(summary.failed_clips), 'clip')}"
    return ending_of(list(summary.lines()), "" if summary.is_whole else missing, strict)


def ending_of(lines: Sequence[str], missing: str, strict: bool) -> State[str]:
    """Return the state of a run by what could be read.

    Args:
        lines: sentences on the work done, the most important first.
        missing: words with the number of videos or clips that could not be read; "" if all were.
        strict: fail if anything could not be read.
    """
    if not missing:
        return Completed(message=lines[0], data="\n".join(lines))
    message = f"{missing} could not be read; the artifact 'not-readable' names them. {lines[0]}"
    if strict:
        return Failed(message=message)
    return Completed(name=UNREADABLE, message=message, data="\n".join(lines))
