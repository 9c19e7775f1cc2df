"""A drawn figure with the numbers it shows: four files of one name, and how a report finds them again."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vadprobe.analyze.figures import style
from vadprobe.store.files.atomic_files import read_json, write_bytes, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "figures"
"""Name of the folder of figures below the results of an analysis."""

Cell = str | int | float | None
"""A word or a number of a figure; None is unknown."""


@dataclass(frozen=True, eq=False)
class DrawnFigure:
    """One figure and what it was drawn from.

    `columns` and `rows` are the numbers drawn, tidy: one row for each point, cell or segment. `sources` say for each
    job what was read (`FigureSource.to_json`), the first job first; `notes` are what a reader must know.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    sources: tuple[Mapping[str, Any], ...]
    figure: "Figure"
    notes: tuple[str, ...] = ()

    def write(self, folder: Path, name: str, paper: str) -> Path:
        """Write NAME.png, NAME.svg, NAME.csv and NAME.json, the last one last; returns its path.

        Numbers are written so that they read back bit by bit. `paper` says what the paper's figure shows.
        """
        rows = [[_known(cell) for cell in row] for row in self.rows]
        write_bytes(folder / f"{name}.png", style.png(self.figure))
        write_bytes(folder / f"{name}.svg", style.svg(self.figure))
        write_bytes(folder / f"{name}.csv", _csv(self.columns, rows))
        content = {
            "name": name,
            "title": self.title,
            "caption": self.caption,
            "paper": paper,
            "sources": list(self.sources),
            "notes": list(self.notes),
            "columns": list(self.columns),
            "rows": rows,
        }
        write_json(folder / f"{name}.json", content)
        return folder / f"{name}.json"


def _known(cell: Cell) -> Cell:
    """Return a cell as JSON has it: a number that is not finite is unknown."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bytes:
    """Encode as CSV; numbers as the shortest digits that read back the same, unknown ones empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


@dataclass(frozen=True, eq=False)
class StoredFigure:
    """A figure that was written before, for a page: its PNG and its words."""

    name: str
    title: str
    caption: str
    png: bytes


def stored_figures(folder: Path, calibration: str, features: str) -> tuple[StoredFigure, ...]:
    """Return the figures of a folder that were drawn from an analysis, by name.

    Args:
        folder: where `DrawnFigure.write` wrote, or no folder.
        calibration, features: digests of the calibration and the features of the analysis; a figure whose first
            source has others is of an earlier state, and left out.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        content = read_json(path)
        sources = content.get("sources") or [{}]
        picture = path.with_suffix(".png")
        made_of = (sources[0].get("calibration"), sources[0].get("features"))
        if made_of == (calibration, features) and picture.is_file():
            found.append(StoredFigure(content["name"], content["title"], content["caption"], picture.read_bytes()))
    return tuple(found)
