"""Files of measured tables: JSON for each, and one page of Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vadprobe.flows.jobs.experiments.context import sources_of
from vadprobe.flows.jobs.job import Job
from vadprobe.store.files.atomic_files import write_bytes, write_json

if TYPE_CHECKING:
    from vadprobe.analyze.experiments.rows import Table


@dataclass
class TableFiles:
    """The tables of a folder as they are measured.

    Attributes:
        folder: folder of the files.
        sources: features and truth of the jobs.
        command: command that measures all of the tables.
        tables: tables written so far.
    """

    folder: Path
    sources: list[dict[str, str]]
    command: str
    tables: "list[Table]" = field(default_factory=list)

    @classmethod
    def of(cls, jobs: Sequence[Job], names: Sequence[str], draws: int, folder: Path) -> "TableFiles":
        """Return the files of some tables, before any of them is written."""
        sources = sources_of(jobs)
        words = ["vadprobe table", *names, f"--draws {draws}", "--jobs", *(source["job"] for source in sources)]
        return cls(folder, sources, " ".join(words))

    @property
    def page(self) -> Path:
        """The file of all tables in Markdown."""
        return self.folder / "tables.md"

    def add(self, table: "Table") -> None:
        """Write a table, and the page of all tables so far."""
        from vadprobe.analyze.experiments.rows import markdown_lines

        self.tables.append(table)
        content = {**table.to_json(), "sources": self.sources, "made_by": self.command}
        write_json(self.folder / f"{table.name}.json", content)
        write_bytes(self.page, "\n".join(line for one in self.tables for line in markdown_lines(one)).encode())
