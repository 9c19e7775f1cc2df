"""Files of a detection, valid at every moment: whole lines while it runs, the table and the summary at its end."""

import csv
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from vadprobe.detect.online.events import Event
from vadprobe.detect.stream import ScoredSegment
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_json

SCORES, EVENTS, TABLE, SUMMARY = "scores.jsonl", "events.jsonl", "events.csv", "summary.json"
EXPLANATIONS = "explanations.jsonl"
NAMES = (SCORES, EVENTS, EXPLANATIONS, TABLE, SUMMARY)


def earlier_files(folder: Path, *, overwrite: bool) -> list[str]:
    """Return the names of an earlier detection's files in a folder; none where there is no such folder.

    Raises:
        VadprobeError: if there are some and they are to stay.
    """
    existing = [name for name in NAMES if (folder / name).exists()]
    if existing and not overwrite:
        kind = "an earlier detection" if SUMMARY in existing else "a detection that was cut off, or still runs"
        raise VadprobeError(
            f"{folder} holds {kind} ({', '.join(existing)}); name another folder with --out, or begin anew with "
            "--overwrite."
        )
    return existing


class DetectionFiles:
    """The open files of a detection.

    Args:
        folder: where they lie; it is made.
        overwrite: replace files of an earlier detection.

    Raises:
        VadprobeError: if there are some and they are to stay.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self.folder = folder
        existing = earlier_files(folder, overwrite=overwrite)
        folder.mkdir(parents=True, exist_ok=True)
        for name in existing:
            (folder / name).unlink()
        # Unbuffered: a line is one call of the system, so that an interrupted run leaves whole lines.
        self._scores = (folder / SCORES).open("wb", buffering=0)
        self._events = (folder / EVENTS).open("wb", buffering=0)
        self._explanations: IO[bytes] | None = None

    def write(self, found: ScoredSegment | Event) -> None:
        """Add a line."""
        _add_line(self._events if isinstance(found, Event) else self._scores, found.to_json())

    def explain(self, explanation: Mapping[str, Any], notice: str) -> None:
        """Add the line of an event's text; the file's first line is the notice that all of them are generated."""
        if self._explanations is None:
            self._explanations = (self.folder / EXPLANATIONS).open("wb", buffering=0)
            _add_line(self._explanations, {"notice": notice, "version": 1})
        _add_line(self._explanations, explanation)

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write the table of events and the summary."""
        self._scores.close()
        self._events.close()
        if self._explanations is not None:
            self._explanations.close()
        self._write_table()
        write_json(self.folder / SUMMARY, dict(summary))

    def _write_table(self) -> None:
        partial = self.folder / f"{TABLE}.partial"
        with (self.folder / EVENTS).open(encoding="utf-8") as events, partial.open("w", newline="") as table:
            writer = csv.DictWriter(table, [field.name for field in fields(Event)], extrasaction="ignore")
            writer.writeheader()
            for line in events:
                writer.writerow(json.loads(line))
        partial.replace(self.folder / TABLE)


def _add_line(file: IO[bytes], value: Mapping[str, Any]) -> None:
    file.write((json.dumps(value, allow_nan=False) + "\n").encode())
