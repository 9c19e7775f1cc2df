"""Files of a detection, valid at every moment: whole lines during the run, the table and the summary at its end."""

import csv
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from vadprobe.detect.online.events import Event
from vadprobe.detect.results.folder import EVENTS, EXPLANATIONS, SCORES, SUMMARY, TABLE, check_folder, clear
from vadprobe.detect.stream import ScoredSegment
from vadprobe.store.files.atomic_files import write_json


class DetectionFiles:
    """The open files of a detection.

    Args:
        folder: folder of the files; it is created.
        overwrite: replace files of an earlier detection, its pictures too.

    Raises:
        VadprobeError: if the folder holds an earlier detection and `overwrite` is False, or it cannot be written to.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self.folder = folder
        check_folder(folder, overwrite=overwrite)
        folder.mkdir(parents=True, exist_ok=True)
        clear(folder)
        # Unbuffered: a line is one call of the system, so that an interrupted run leaves whole lines.
        self._scores = (folder / SCORES).open("wb", buffering=0)
        self._events = (folder / EVENTS).open("wb", buffering=0)
        self._explanations: IO[bytes] | None = None

    def write(self, found: ScoredSegment | Event) -> None:
        """Append a segment or an event to its file, as one line."""
        _add_line(self._events if isinstance(found, Event) else self._scores, found.to_json())

    def explain(self, explanation: Mapping[str, Any], notice: str) -> None:
        """Append an event's text as one line; the first line of that file is `notice`: the texts are generated."""
        if self._explanations is None:
            self._explanations = (self.folder / EXPLANATIONS).open("wb", buffering=0)
            _add_line(self._explanations, {"notice": notice, "version": 1})
        _add_line(self._explanations, explanation)

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write the table of events and the summary, and close the files."""
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
