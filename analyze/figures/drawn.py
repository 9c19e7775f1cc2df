"""A drawn figure with the numbers it shows: writing its four files, and reading them for a report."""

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
"""A word or a number in a figure's table; None is unknown."""


@dataclass(frozen=True, eq=False)
class DrawnFigure:
    """One figure and the numbers it was drawn from.

    `columns` and `rows` are a tidy table of the numbers, with one row for each point, cell or segment. `sources` have
    the facts of each job (`FigureSource.to_json`) in the order of the jobs. `notes` are what a reader must know.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    sources: tuple[Mapping[str, Any], ...]
    figure: "Figure"
    notes: tuple[str, ...] = ()

    def write(self, folder: Path, name: str, paper: str) -> Path:
        """Write NAME.png, NAME.svg, NAME.csv and, last, NAME.json; return the path of NAME.json.

        Numbers are written so that they can be read back bit by bit. `paper` says what the paper's figure shows.
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
    """Return a cell for JSON: None for a number that is not finite."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bytes:
    """Encode as CSV, with numbers as the shortest digits that read back equal, and unknown numbers empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


@dataclass(frozen=True, eq=False)
class StoredFigure:
    """A figure that was written earlier, for a page: its PNG and its words."""

    name: str
    title: str
    caption: str
    png: bytes


def stored_figures(folder: Path, calibration: str, features: str) -> tuple[StoredFigure, ...]:
    """Return the figures in a folder that were drawn from an analysis, sorted by name.

    Args:
        folder: folder of `DrawnFigure.write`; it need not exist.
        calibration, features: digests of the calibration and the features of the analysis. A figure whose first source
            has other digests is out of date and left out.
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
