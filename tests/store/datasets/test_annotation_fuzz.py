"""Damaged and hostile files: a reader reads or refuses in a sentence, and no row is lost without a word."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import COUNT_LINE, LIST_LINE, UCF_LINE, XD_LINE, files_of, many_files
from vadprobe.store.datasets.annotations.folders.masks import read_masks
from vadprobe.store.datasets.annotations.frame_counts import read_frame_counts
from vadprobe.store.datasets.annotations.hivau import read_hivau
from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.datasets.annotations.rows.rows import Reading
from vadprobe.store.datasets.annotations.split_lists import read_split_list
from vadprobe.store.datasets.annotations.tables import COLUMNS, read_table
from vadprobe.store.datasets.annotations.text_files import read_ucf_crime, read_xd_violence
from vadprobe.store.errors import VadprobeError

Reader = Callable[[Path], Reading[Any]]


ROW = 'a.mp4,test,1,"fire, smoke",400,25,10-20;40-80'
HEADER = "path,split,label,category,n_frames,fps,intervals"
JSON_ROW = '{"video_id": "a", "split": "test", "label": 1, "n_frames": 400, "intervals": [[10, 20]]}'


def rows_in(content: bytes) -> int:
    """Rows, counted without the readers: LF, CR or both end a line, and blank lines are none."""
    return sum(bool(line.strip()) for line in lines_of(content))


def lines_of(content: bytes) -> list[str]:
    return content.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def csv_rows_in(content: bytes) -> list[tuple[int, str]]:
    """Lines of a CSV file that hold a value, with their numbers; none goes over several lines."""
    empty = re.compile(r'(\s*|"\s*")(,(\s*|"\s*"))*')
    return [(number, line) for number, line in enumerate(lines_of(content), start=1) if not empty.fullmatch(line)]


def read_or_refused(reader: Reader, path: Path) -> Reading[Any] | None:
    """The reading, or None where the file was refused as a whole, in a sentence that names it."""
    try:
        reading = reader(path)
    except VadprobeError as error:
        assert str(path) in str(error)  # noqa: PT017 - either way is right
        assert str(error).endswith((".", "?"))  # noqa: PT017
        return None
    for rejection in reading.rejected:
        assert f"{path}, {rejection.unit} {rejection.row}: got " in rejection.sentence
        assert ", expected " in rejection.sentence
        assert rejection.remedy
        assert rejection.sentence.encode("utf-8"), "the sentence can be printed"
        assert "\n" not in rejection.sentence
    for entry in reading.entries:
        assert entry.video_id.encode("utf-8").strip(), "a name can be written"
    return reading


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize(
    ("reader", "line"), [(read_ucf_crime, UCF_LINE), (read_xd_violence, XD_LINE), (read_split_list, LIST_LINE)]
)
@many_files(1300)
@given(data=st.data())
def test_text_files(place: Path, reader: Reader, line: str, data: st.DataObject) -> None:
    path, content = place / "lines.txt", data.draw(files_of(line))
    path.write_bytes(content)
    reading = read_or_refused(reader, path)
    if reading is not None:
        assert reading.n_rows == len(reading.entries) + len(reading.rejected) == rows_in(content)


@many_files(900)
@given(content=files_of(COUNT_LINE, "video,frames"))
def test_frame_counts(place: Path, content: bytes) -> None:
    path = place / "counts.csv"
    path.write_bytes(content)
    reading = read_or_refused(read_frame_counts, path)
    if reading is not None:
        assert reading.n_rows == len(reading.entries) + len(reading.rejected)
        rows = csv_rows_in(content)
        words = rows[0][1].lower().split(",")
        if '"' not in rows[0][1]:
            has_header = len(words) > 1 and re.fullmatch(r"\D*(frame|count|length)\D*", words[1]) is not None
            assert reading.n_rows == len(rows) - has_header


@many_files(900)
@given(content=files_of(ROW, HEADER))
def test_tables_of_comma_separated_values(place: Path, content: bytes) -> None:
    path = place / "own.csv"
    path.write_bytes(content)
    reading = read_or_refused(read_table, path)
    if reading is not None:
        (_, header), *rows = csv_rows_in(content)
        assert reading.n_rows == len(rows)
        rejected = {rejection.row for rejection in reading.rejected}
        assert rejected <= {number for number, _ in rows}
        read = [line for number, line in rows if number not in rejected]
        assert bool(read) == bool(reading.entries)
        if header == HEADER:
            names = {video_name(line.split(",")[0].strip().strip('"').strip()) for line in read if '""' not in line}
            assert names <= {entry.video_id for entry in reading.entries}


@many_files(1000)
@given(content=files_of(JSON_ROW))
def test_tables_of_json_lines(place: Path, content: bytes) -> None:
    path = place / "own.jsonl"
    path.write_bytes(content)
    reading = read_or_refused(read_table, path)
    if reading is not None:
        assert reading.n_rows == rows_in(content)
        rejected = {rejection.row for rejection in reading.rejected}
        lines = enumerate(lines_of(content), start=1)
        read = [json.loads(line) for n, line in lines if line.strip() and n not in rejected]
        assert len(read) == reading.n_rows - len(rejected)
        named = {video_name(str(row.get("video_id") or row.get("path")).strip()) for row in read}
        assert named == {entry.video_id for entry in reading.entries}


@many_files(700)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"video_id": st.sampled_from(["a", "b", "c"])},
            optional={
                "label": st.sampled_from([0, 1, "normal", 2, None, True, [1]]),
                "split": st.sampled_from(["train", "test", "testing", 3, None]),
                "n_frames": st.sampled_from([100, 0, -1, 1.5, "100", "x", None, 10**30]),
                "start_frame": st.integers(-1, 30),
                "stop_frame": st.integers(-1, 30),
                "intervals": st.sampled_from([[[1, 2]], [[2, 1]], [[1]], "1-2", "1-", [], {}, [[True, 2]]]),
            },
        ),
        min_size=1,
        max_size=6,
    )
)
def test_no_row_of_a_table_is_lost(place: Path, rows: list[dict[str, Any]]) -> None:
    """Every row is rejected, or is part of the entry of its video: counted by the rows' own numbers."""
    path = place / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    reading = read_or_refused(read_table, path)
    assert reading is not None
    rejected = {rejection.row for rejection in reading.rejected}
    read = [row for number, row in enumerate(rows, start=1) if number not in rejected]
    assert {entry.video_id for entry in reading.entries} == {row["video_id"] for row in read}
    assert reading.n_rows == len(read) + len(rejected) == len(rows)
    for entry in reading.entries:
        wanted = [row for row in read if row["video_id"] == entry.video_id]
        n_frames = {float(row["n_frames"]) for row in wanted if row.get("n_frames") is not None}
        assert len(n_frames) <= 1
        assert all((row["start_frame"], row["stop_frame"]) in [(i.start_frame, i.stop_frame) for i in entry.intervals]
                   for row in wanted if "start_frame" in row)  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "n_frames": st.just(900) | JSON,
        "fps": st.just(30.0) | JSON,
        "label": st.sampled_from([[], ["Abuse"], "Abuse", "Normal", [1], {}]) | JSON,
        "events": st.just([[1.0, 2.5]])
        | st.lists(st.lists(st.floats() | st.integers(), max_size=3), max_size=3)
        | JSON,
    },
)


@many_files(600)
@given(pairs=st.lists(st.tuples(st.sampled_from(["a", "b.mp4", "b", ".mp4", ""]), ENTRY | JSON), max_size=5))
def test_hivau(place: Path, pairs: list[tuple[str, Any]]) -> None:
    """Keys are written as they are, repeated ones too."""
    path = place / "ucf_database_test.json"
    path.write_text("{" + ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in pairs) + "}")
    reading = read_or_refused(read_hivau, path)
    if pairs:
        assert reading is not None
        assert reading.n_rows == len(pairs) == len(reading.entries) + len(reading.rejected)


@many_files(500)
@given(content=files_of('{"a": {"n_frames": 9, "fps": 30, "label": [], "events": []}}'))
def test_hivau_that_is_no_json(place: Path, content: bytes) -> None:
    path = place / "xd_database_train.json"
    path.write_bytes(content)
    read_or_refused(read_hivau, path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"a": ' + "9" * 5000 + "}", '"' * 9, "\ufeff{}"])
def test_hivau_that_breaks_parsers(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ucf_database_test.json"
    path.write_text(text)
    read_or_refused(read_hivau, path)


ODD_COLUMNS = [
    lambda n: pa.array(["a"] * n),
    lambda n: pa.array(["1", "0", "normal"][:n] + ["9" * 20] * (n - 3), pa.large_string()),
    lambda n: pa.array([b"\xff"] * n),
    lambda n: pa.array([1.5, float("nan"), float("inf")][:n] + [None] * (n - 3)),
    lambda n: pa.array([1, 0, 2**62][:n] + [None] * (n - 3)),
    lambda n: pa.array([2**62] * n, pa.timestamp("us")),
    lambda n: pa.array([1] * n, pa.timestamp("ns", tz="Nowhere/City")),
    lambda n: pa.array([1] * n, pa.duration("ns")),
    lambda n: pa.array([{"a": 1}] * n),
    lambda n: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int8())),
    lambda n: pa.array([[[1, 5]], [[5, 1]], [[1, None]]][:n] + [[]] * (n - 3), pa.list_(pa.list_(pa.int64()))),
    lambda n: pa.array([[[1, 5]]] * n, pa.list_(pa.list_(pa.int64(), 2), 1)),
    lambda n: pa.array(["x", "y"] * n).slice(0, n).dictionary_encode(),
    lambda n: pa.array([True] * n),
    pa.nulls,
]


@many_files(500)
@given(
    n_rows=st.integers(1, 5),
    columns=st.dictionaries(st.sampled_from([*COLUMNS, "when", ""]), st.sampled_from(ODD_COLUMNS), max_size=5),
    ids=st.lists(st.sampled_from(["a", "b.mp4", "b", "", None, "c\0", " d"]), min_size=5, max_size=5),
)
def test_tables_of_parquet(place: Path, n_rows: int, columns: dict[str, Any], ids: list[str | None]) -> None:
    path = place / "own.parquet"
    made = {"video_id": pa.array(ids[:n_rows], pa.string()), **{name: make(n_rows) for name, make in columns.items()}}
    pq.write_table(pa.table(made), path)
    reading = read_or_refused(read_table, path)
    if reading is not None:
        assert reading.n_rows == n_rows
        rejected = {rejection.row for rejection in reading.rejected}
        assert len(rejected) == len(reading.rejected)
        assert bool(reading.entries) == (len(rejected) < n_rows)


def test_parquet_cut_short_at_any_length(place: Path) -> None:
    whole = place / "whole.parquet"
    pq.write_table(pa.table({"video_id": ["a", "b"], "label": [1, 0]}), whole)
    content = whole.read_bytes()
    path = place / "cut.parquet"
    for length in range(0, len(content) - 1, 5):
        path.write_bytes(content[:length])
        assert read_or_refused(read_table, path) is None


NPY = b"\x93NUMPY\x01\x00v\x00{'descr': '|b1', 'fortran_order': False, 'shape': (8,), }" + b" " * 61 + b"\n"


def mask_reading(folder: Path, name: str, content: bytes) -> Reading[Any]:
    """Read a folder with one mask file; it is an entry or rejected."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    (folder / name).write_bytes(content)
    reading = read_or_refused(read_masks, folder)
    assert reading is not None
    assert reading.n_rows == 1 == len(reading.entries) + len(reading.rejected)
    return reading


@many_files(1000)
@given(
    name=st.sampled_from(["a.npy", "a.txt", "a.csv"]),
    content=st.binary(max_size=40)
    | files_of("0 1 1 0 , 1")
    | st.tuples(st.integers(0, 140), st.binary(max_size=3)).map(
        lambda cut: (NPY + bytes(8))[: cut[0]] + cut[1] + (NPY + bytes(8))[cut[0] + len(cut[1]) :]
    ),
)
def test_masks(place: Path, name: str, content: bytes) -> None:
    mask_reading(place / "masks", name, content)


HEADER_PARTS = ["|u1", "<f4", "|O", "a", "<U0", "|V0", "|b1", "<M8[ns]", "\\d"]
DESCRIPTIONS = st.sampled_from(
    [*map(repr, HEADER_PARTS), "[]", "[()]", "('|u1',)", "{'a': 1}", "[('a', '|u1', (2,))]", "None", "3", "[" * 90]
)
SHAPES = st.sampled_from(
    [
        *("(8,)", "(2, 2, 2)", "()", "(-8,)", "(True,)", "(8.0,)", "8", "(8L,)", "(0,)", "'8'"),
        *("(" + "9" * 5000 + ",)", f"({2**40},)", f"({2**40}, {2**40}, {2**40})", f"({2**62}, 4, 1)"),
    ]
)


@many_files(600)
@given(kind=DESCRIPTIONS, shape=SHAPES, order=st.sampled_from(["False", "True", "0", "None"]), extra=st.booleans())
def test_headers_of_masks(place: Path, kind: str, shape: str, order: str, extra: bool) -> None:
    header = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}{', 3: 1' if extra else ''}}}"
    encoded = header.encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(encoded).to_bytes(2, "little") + encoded + bytes(32)
    reading = mask_reading(place / "headers", "a.npy", content)
    if reading.entries:
        assert reading.entries[0].n_frames in (2, 8)
        assert reading.entries[0].label == 0
