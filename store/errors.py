"""The one exception whose message is meant for the user."""

import difflib
import os
from pathlib import Path


class VadprobeError(ValueError):
    """Error of user input; its message names the rule, the value, and what to do next.

    The command line prints the message without a traceback and exits with code 2.
    """


class StoreError(VadprobeError):
    """Error of a feature store that is missing, of another specification, incomplete or damaged."""


class VideoError(VadprobeError):
    """Error of a video, or of frames of it, that cannot be read; the message becomes the reason of the failed row."""


def near_file(path: Path) -> str:
    """Return the end of a sentence about a missing path: `; did you mean b/job.toml?`, or a full stop."""
    folder = path.parent
    is_listed = folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
    names = sorted({entry.name for entry in folder.iterdir()} - {path.name}) if is_listed else []
    same = [name for name in names if Path(name).stem == path.name]  # its suffix is forgotten
    near = same or difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {folder / near[0]}?" if near else "."
