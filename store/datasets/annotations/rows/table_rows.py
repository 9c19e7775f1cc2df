"""Rows of a table in CSV, JSON Lines or Parquet, in one form: equal content gives equal rows in all three formats."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vadprobe.store.datasets.annotations.rows.csv_rows import read_csv
from vadprobe.store.datasets.annotations.rows.json_objects import JsonObject, parse_json, shown
from vadprobe.store.datasets.annotations.rows.rows import read_text
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.text import error_text

TABLE_SUFFIXES = (".csv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class TableRow:
    """One row: its line (or entry) number from 1, its values by column, its text, and the expected form for messages.

    Strings have no outer white space; missing and empty values are left out.
    """

    number: int
    values: Mapping[str, Any]
    text: str
    expected: str = ""


def read_table_rows(path: StorePath, known: Iterable[str]) -> tuple[list[TableRow], list[str]]:
    """Return the rows and the column names of a table, in order; of a Parquet file only the `known` columns are read.

    Raises:
        VadprobeError: if the file cannot be read, is of another format, or a known column of a Parquet file has a type
            other than text, numbers, booleans and lists of these.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _csv_rows(path)
    if suffix == ".jsonl":
        return _json_rows(path)
    if suffix == ".parquet":
        return _parquet_rows(path, known)
    raise VadprobeError(f"the manifest {path} is none of {', '.join(TABLE_SUFFIXES)}; save it as one of them.")


def _csv_rows(path: StorePath) -> tuple[list[TableRow], list[str]]:
    lines = read_csv(path, "manifest")
    if not lines:
        return [], []
    header, rows = lines[0].fields, []
    repeated = [name for name in header if name and header.count(name) > 1]
    if repeated:
        raise VadprobeError(f"{path}, line {lines[0].number}: the column {repeated[0]!r} occurs twice; rename one.")
    for line in lines[1:]:
        fits = len(line.fields) == len(header)
        expected = "" if fits else f"{len(header)} values, one for every column of the header"
        values = dict(zip(header, line.fields, strict=True)) if fits else {}
        rows.append(TableRow(line.number, _present(values), line.text, expected))
    return rows, list(header)


def _json_rows(path: StorePath) -> tuple[list[TableRow], list[str]]:
    rows = []
    columns: dict[str, None] = {}
    for number, line in enumerate(read_text(path, "manifest").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, JsonObject):
            rows.append(TableRow(number, {}, line.strip(), "one JSON object per line"))
            continue
        columns.update(dict.fromkeys(value))
        expected = f"every key once ({value.repeated!r} is repeated)" if value.repeated is not None else ""
        rows.append(TableRow(number, _present(value), line.strip(), expected))
    if rows and not columns:
        raise VadprobeError(
            f"the manifest {path} must have a JSON object with values in each line, but no line has one; "
            f"line {rows[0].number} is {rows[0].text[:80]!r}. Save it as JSON Lines."
        )
    return rows, list(columns)


def _parquet_rows(path: StorePath, known: Iterable[str]) -> tuple[list[TableRow], list[str]]:
    try:
        table = pq.read_table(path, partitioning=None)
        used = [name for name in table.column_names if name in known]
        for name in used:
            if not _is_plain(table.schema.field(name).type):
                raise VadprobeError(
                    f"the manifest {path}: the column {name!r} must hold words, numbers or lists of them, got the type "
                    f"{table.schema.field(name).type}. Convert it."
                )
        rows = table.select(used).to_pylist()
    except FileNotFoundError as error:
        raise VadprobeError(f"there is no manifest {path}; check the path.") from error
    except UnicodeDecodeError as error:
        said = error_text(error)
        raise VadprobeError(f"the manifest {path} holds words that are not UTF-8 ({said}); write it again.") from error
    except (pa.ArrowException, OSError) as error:
        said = error_text(error)
        raise VadprobeError(f"the manifest {path} is not readable as Parquet ({said}); write it again.") from error
    return [TableRow(n, _present(row), shown(row)) for n, row in enumerate(rows, start=1)], table.column_names


def _is_plain(kind: Any) -> bool:
    """Return whether values of an Arrow type become strings, numbers, booleans or lists of these."""
    types = pa.types
    if types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_plain(kind.value_type)
    is_word = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    is_number = types.is_integer(kind) or types.is_floating(kind)
    return bool(is_word or is_number or types.is_boolean(kind) or types.is_null(kind))


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    stripped = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
    return {name: value for name, value in stripped.items() if value is not None and value != ""}
