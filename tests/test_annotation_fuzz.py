"""Damaged and hostile files: a reader reads or refuses in a sentence, and no row is lost without a word."""

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vadprobe.store.annotations.frame_counts import read_frame_counts
from vadprobe.store.annotations.hivau import read_hivau
from vadprobe.store.annotations.masks import read_masks
from vadprobe.store.annotations.reading import Reading
from vadprobe.store.annotations.split_lists import read_split_list
from vadprobe.store.annotations.tables import read_table
from vadprobe.store.annotations.text_files import read_ucf_crime, read_xd_violence
from vadprobe.store.errors import VadprobeError

pytestmark = pytest.mark.slow
Reader = Callable[[Path], Reading[Any]]


def cases(count: int) -> settings:
    """Settings of one test: with all tests together at least 10,000 files."""
    return settings(
        max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
    )


UCF = "Abuse028_x264.mp4  Abuse  165  240  -1  -1  "
XD = "v=u5SF4SlqNDQ__#00-00-00_00-01-00_label_G-0-0.mp4 624 912 950 1441"
LIST, COUNT = "Assault/Assault_2.mp4 0 235 1", "Abuse028_x264,1412"
ROW = 'a.mp4,test,1,"fire, smoke",400,25,10-20;40-80'
HEADER = "path,split,label,category,n_frames,fps,intervals"
JSON_ROW = '{"video_id": "a", "split": "test", "label": 1, "n_frames": 400, "intervals": [[10, 20]]}'

NUMBERS = ["-1", "0", "1", "5", "-7", "1e3", "1_000", "٣", "²", "NaN", "inf", "9" * 14, "9" * 5000, "0x10", "1.0"]
MARKS = ["", " ", "\t", "\r", "\x00", "\x0b", "\x1c", "\x85", "\u2028", "\ufeff", '"', "'", ",", ";", "-", "/", ".."]
WORDS = ["Normal", "MSAD", "Abuse", "label_A", "_label_B2-G-0", ".mp4", "train", "true", "null", "[[", "]]", "{", "}"]
TOKENS = st.sampled_from(NUMBERS + MARKS + WORDS)


@st.composite
def mangled(draw: st.DrawFn, line: str) -> str:
    """A valid line with tokens dropped, repeated, swapped, replaced or inserted, or characters changed."""
    tokens = line.split(" ")
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(tokens) - 1))
        change = draw(st.sampled_from(["drop", "repeat", "replace", "insert", "characters"]))
        if change == "drop" and len(tokens) > 1:
            del tokens[place]
        elif change == "repeat":
            tokens.insert(place, tokens[place])
        elif change == "replace":
            tokens[place] = draw(TOKENS)
        elif change == "insert":
            tokens.insert(place, draw(TOKENS))
        else:
            at = draw(st.integers(0, len(tokens[place])))
            tokens[place] = tokens[place][:at] + draw(TOKENS | st.text(max_size=2)) + tokens[place][at + 1 :]
    return " ".join(tokens)


def files_of(line: str, *names: str) -> st.SearchStrategy[bytes]:
    """Whole files: mangled and plain lines with any line end, or any text, or any bytes."""
    header = list(names)
    lines = st.lists(mangled(line) | st.text(string.printable, max_size=20), max_size=6)
    ends = st.sampled_from(["\n", "\r\n", "\n\n", "\r", "\n \n"])
    made = st.tuples(lines, ends).map(lambda parts: parts[1].join(header + parts[0]))
    return (
        made.map(lambda text: text.encode("utf-8", "replace"))
        | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
        | st.binary(max_size=60)
    )


def rows_in(content: bytes) -> int:
    """Rows, counted without the readers: LF, CR or both end a line, and blank lines are none."""
    text = content.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return sum(bool(line.strip()) for line in text.split("\n"))


def read_or_refused(reader: Reader, path: Path) -> Reading[Any] | None:
    """The reading, or None where the file was refused as a whole, in a sentence that names it."""
    try:
        reading = reader(path)
    except VadprobeError as error:
        refusal = str(error)
        reading = None
    if reading is None:
        assert str(path) in refusal
        assert refusal.endswith((".", "?"))
        return None
    for rejection in reading.rejected:
        assert f"{path}, {rejection.unit} {rejection.row}: got " in rejection.sentence
        assert ", wanted " in rejection.sentence
        assert rejection.remedy
    return reading


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def check_lines(reader: Reader, path: Path, content: bytes, has_header: bool = False) -> None:
    path.write_bytes(content)
    reading = read_or_refused(reader, path)
    if reading is not None:
        assert reading.n_rows == len(reading.entries) + len(reading.rejected)
        assert reading.n_rows == rows_in(content) - has_header


@cases(2500)
@given(content=files_of(UCF))
def test_ucf_crime_and_msad(place: Path, content: bytes) -> None:
    check_lines(read_ucf_crime, place / "ucf.txt", content)


@cases(2500)
@given(content=files_of(XD))
def test_xd_violence(place: Path, content: bytes) -> None:
    check_lines(read_xd_violence, place / "xd.txt", content)


@cases(1500)
@given(content=files_of(LIST))
def test_split_lists(place: Path, content: bytes) -> None:
    check_lines(read_split_list, place / "list.txt", content)


@cases(1000)
@given(content=files_of(COUNT, "video,frames"))
def test_frame_counts(place: Path, content: bytes) -> None:
    path = place / "counts.csv"
    path.write_bytes(content)
    reading = read_or_refused(read_frame_counts, path)
    if reading is not None:
        assert reading.n_rows == len(reading.entries) + len(reading.rejected)
        if content.startswith(b"video,frames\n") and b'"' not in content and b"\r" not in content:
            blank = sum(not line.replace(",", "").strip() for line in content.decode().split("\n") if line.strip())
            assert reading.n_rows == rows_in(content) - 1 - blank


@cases(800)
@given(content=files_of(ROW, HEADER))
def test_tables_of_comma_separated_values(place: Path, content: bytes) -> None:
    path = place / "own.csv"
    path.write_bytes(content)
    reading = read_or_refused(read_table, path)
    if reading is not None and reading.n_rows:
        assert len(reading.entries) + len(reading.rejected) <= reading.n_rows
        assert reading.entries or reading.rejected


@cases(1000)
@given(content=files_of(JSON_ROW))
def test_tables_of_json_lines(place: Path, content: bytes) -> None:
    path = place / "own.jsonl"
    path.write_bytes(content)
    reading = read_or_refused(read_table, path)
    if reading is not None:
        assert reading.n_rows == rows_in(content)
        assert len(reading.entries) + len(reading.rejected) <= reading.n_rows
        assert reading.entries or reading.rejected


@cases(800)
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


@cases(600)
@given(pairs=st.lists(st.tuples(st.sampled_from(["a", "b.mp4", "b", ".mp4", ""]), ENTRY | JSON), max_size=5))
def test_hivau(place: Path, pairs: list[tuple[str, Any]]) -> None:
    """Keys are written as they are, repeated ones too."""
    path = place / "ucf_database_test.json"
    path.write_text("{" + ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in pairs) + "}")
    reading = read_or_refused(read_hivau, path)
    if pairs:
        assert reading is not None
        assert reading.n_rows == len(pairs) == len(reading.entries) + len(reading.rejected)


@cases(500)
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


NPY = b"\x93NUMPY\x01\x00v\x00{'descr': '|b1', 'fortran_order': False, 'shape': (8,), }" + b" " * 61 + b"\n"


@cases(1000)
@given(
    name=st.sampled_from(["a.npy", "a.txt", "a.csv"]),
    content=st.binary(max_size=40)
    | files_of("0 1 1 0 , 1")
    | st.tuples(st.integers(0, 140), st.binary(max_size=3)).map(
        lambda cut: (NPY + bytes(8))[: cut[0]] + cut[1] + (NPY + bytes(8))[cut[0] + len(cut[1]) :]
    ),
)
def test_masks(place: Path, name: str, content: bytes) -> None:
    folder = place / "masks"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    (folder / name).write_bytes(content)
    reading = read_or_refused(read_masks, folder)
    assert reading is not None
    assert reading.n_rows == 1 == len(reading.entries) + len(reading.rejected)
