"""The folder of a detection's results: the names in it, and what an earlier detection has left there."""

import os
from pathlib import Path

from vadprobe.store.errors import VadprobeError

SCORES, EVENTS, TABLE, SUMMARY = "scores.jsonl", "events.jsonl", "events.csv", "summary.json"
EXPLANATIONS = "explanations.jsonl"
NAMES = (SCORES, EVENTS, EXPLANATIONS, TABLE, SUMMARY)
PICTURES, CURVE, SCORED = "pictures", "curve.png", "scored.mp4"
FILM = "event-{}.mp4"
"""Name of the film of an event by its number."""


def check_folder(folder: Path, *, overwrite: bool = False) -> None:
    """Check that results can be written to a folder, which need not exist yet; nothing is changed.

    Args:
        folder: of the results.
        overwrite: those of an earlier detection are to be replaced.

    Raises:
        VadprobeError: if there are some and they are to stay, or the folder cannot be written to.
    """
    found = existing(folder)
    if found and not overwrite:
        kind = "an earlier detection" if SUMMARY in found else "a detection that was cut off, or still runs"
        raise VadprobeError(
            f"{folder} holds {kind} ({', '.join(found)}); name another folder with --out, or begin anew with "
            "--overwrite."
        )
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        reason = "may not be written to" if nearest.is_dir() else "is a file"
        raise VadprobeError(f"the folder of the results must be writable, and {nearest} {reason}; name another --out.")


def existing(folder: Path) -> list[str]:
    """Return the names of the files that a detection has left in a folder."""
    return [name for name in NAMES if (folder / name).exists()]


def clear(folder: Path) -> None:
    """Delete the files of an earlier detection, its pictures too; whatever else lies there stays."""
    for name in existing(folder):
        (folder / name).unlink()
    pictures = folder / PICTURES
    for place in sorted(pictures.iterdir()) if pictures.is_dir() else ():
        for pattern in (CURVE, SCORED, FILM.format("*")):
            for picture in place.glob(pattern):
                picture.unlink()
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()
