"""CSV files read so that a stray quotation mark is an error; a plain parser would swallow rows up to the next mark."""

import csv
import io

from vadprobe.store.datasets.annotations.rows.rows import Row, read_text
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath


def read_csv(path: StorePath, what: str) -> list[Row]:
    """Read the rows of a CSV file, header included; outer white space of fields and empty rows are removed.

    Raises:
        VadprobeError: naming file and line, if the file cannot be read, a quotation mark is not closed or is followed
            by text, a field has more than 131,072 characters, or a field spans several lines.
    """
    reader = csv.reader(io.StringIO(read_text(path, what), newline=""), strict=True)
    rows = []
    line = 1
    try:
        for fields in reader:
            if reader.line_num > line:
                raise VadprobeError(
                    f"the {what} {path}, lines {line} to {reader.line_num}: a field goes over several lines; close "
                    f"its quotation marks, or take the line break out."
                )
            if any(field.strip() for field in fields):
                rows.append(Row(line, ",".join(fields), tuple(field.strip() for field in fields)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise VadprobeError(
            f"the {what} {path}, line {line}: not readable as CSV ({error}); check the line's quotation marks."
        ) from error
    return rows
