"""Damaged and hostile files: a reader reads or refuses in a sentence, and no row is lost without a word."""

import json
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.profiles import laws
from vadprobe.store.datasets.annotations.frame_counts import read_frame_counts
from vadprobe.store.datasets.annotations.hivau import read_hivau
from vadprobe.store.datasets.annotations.masks import read_masks
from vadprobe.store.datasets.annotations.names import ucf_crime_name, video_name, xd_violence_name
from vadprobe.store.datasets.annotations.rows.rows import Annotation, Reading
from vadprobe.store.datasets.annotations.split_lists import Listed, read_split_list
from vadprobe.store.datasets.annotations.tables import COLUMNS, read_table
from vadprobe.store.datasets.annotations.text_files import read_ucf_crime, read_xd_violence
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.joining import Parts, join
from vadprobe.store.datasets.probed_videos import ProbedVideo
from vadprobe.store.datasets.sources import open_dataset, open_truth
from vadprobe.store.datasets.video import Interval
from vadprobe.store.errors import VadprobeError

Reader = Callable[[Path], Reading[Any]]


def cases(count: int) -> settings:
    """Settings of one test: in the long profile with all tests together at least 10,000 files."""
    return laws(count, short=count // 10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


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


def csv_rows_in(content: bytes) -> list[tuple[int, str]]:
    """Lines of a CSV file that hold a value, with their numbers; none goes over several lines."""
    text = content.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    empty = re.compile(r'(\s*|"\s*")(,(\s*|"\s*"))*')
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if not empty.fullmatch(line)]


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


def check_lines(reader: Reader, path: Path, content: bytes, has_header: bool = False) -> None:
    path.write_bytes(content)
    reading = read_or_refused(reader, path)
    if reading is not None:
        assert reading.n_rows == len(reading.entries) + len(reading.rejected)
        assert reading.n_rows == rows_in(content) - has_header


@cases(1500)
@given(content=files_of(UCF))
def test_ucf_crime_and_msad(place: Path, content: bytes) -> None:
    check_lines(read_ucf_crime, place / "ucf.txt", content)


@cases(1300)
@given(content=files_of(XD))
def test_xd_violence(place: Path, content: bytes) -> None:
    check_lines(read_xd_violence, place / "xd.txt", content)


@cases(900)
@given(content=files_of(LIST))
def test_split_lists(place: Path, content: bytes) -> None:
    check_lines(read_split_list, place / "list.txt", content)


@cases(900)
@given(content=files_of(COUNT, "video,frames"))
def test_frame_counts(place: Path, content: bytes) -> None:
    path = place / "counts.csv"
    path.write_bytes(content)
    reading = read_or_refused(read_frame_counts, path)
    if reading is not None:
        assert reading.n_rows == len(reading.entries) + len(reading.rejected)
        rows = csv_rows_in(content)
        words = re.split("[,]", rows[0][1].lower())
        if '"' not in rows[0][1]:
            has_header = len(words) > 1 and re.fullmatch(r"\D*(frame|count|length)\D*", words[1]) is not None
            assert reading.n_rows == len(rows) - has_header


@cases(900)
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


@cases(1000)
@given(content=files_of(JSON_ROW))
def test_tables_of_json_lines(place: Path, content: bytes) -> None:
    path = place / "own.jsonl"
    path.write_bytes(content)
    reading = read_or_refused(read_table, path)
    if reading is not None:
        assert reading.n_rows == rows_in(content)
        rejected = {rejection.row for rejection in reading.rejected}
        lines = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        read = [json.loads(line) for n, line in enumerate(lines, start=1) if line.strip() and n not in rejected]
        assert len(read) == reading.n_rows - len(rejected)
        named = {video_name(str(row.get("video_id") or row.get("path")).strip()) for row in read}
        assert named == {entry.video_id for entry in reading.entries}


@cases(700)
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


@cases(500)
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


@cases(600)
@given(kind=DESCRIPTIONS, shape=SHAPES, order=st.sampled_from(["False", "True", "0", "None"]), extra=st.booleans())
def test_headers_of_masks(place: Path, kind: str, shape: str, order: str, extra: bool) -> None:
    header = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}{', 3: 1' if extra else ''}}}"
    encoded = header.encode() + b"\n"
    folder = place / "headers"
    folder.mkdir(exist_ok=True)
    (folder / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(encoded).to_bytes(2, "little") + encoded + bytes(32))
    reading = read_or_refused(read_masks, folder)
    assert reading is not None
    assert reading.n_rows == 1 == len(reading.entries) + len(reading.rejected)
    if reading.entries:
        assert reading.entries[0].n_frames in (2, 8)
        assert reading.entries[0].label == 0


NAMES = ["Abuse001_x264", "Normal_Videos_003_x264", "a__#1_label_A", "a__#1_label_G-B1-0", "own", "."]
FRAMES = st.tuples(st.integers(0, 40), st.integers(1, 40)).map(lambda pair: (pair[0], sum(pair)))


@st.composite
def parts(draw: st.DrawFn) -> Parts:
    """Any parts whose rows have one name each, as the readers give them."""
    annotations = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        intervals = tuple(Interval(name, *pair) for pair in draw(st.lists(FRAMES, max_size=3)))
        label = 1 if intervals else draw(st.sampled_from([None, 0, 1]))
        split = draw(st.sampled_from([None, "train", "validation", "test"]))
        annotations.append(
            Annotation(name, label, None, intervals, split=split, path=draw(st.sampled_from([None, "x"])))
        )
    some = st.lists(st.sampled_from(NAMES), unique=True)
    listed = some.map(lambda names: tuple(Listed(name, label=len(name) % 2) for name in names))
    counted = st.dictionaries(st.sampled_from(NAMES), st.tuples(st.integers(0, 60), st.none() | st.just(25.0)))
    return Parts(
        "d",
        Path(),
        tuple(annotations),
        draw(st.dictionaries(st.sampled_from(["train", "test"]), listed)),
        draw(st.dictionaries(st.sampled_from(["files", "table"]), counted)),
        draw(st.none() | st.dictionaries(st.sampled_from(NAMES), st.just("x.mp4"))),
        draw(st.sampled_from([None, ucf_crime_name, xd_violence_name])),
        draw(st.booleans()),
    )


@cases(400)
@given(given=parts())
def test_no_part_is_lost_in_joining(given: Parts) -> None:
    """Every named video is there; every interval is kept, or cut or left out by a finding that names its video."""
    joined = join(given)
    named = {annotation.video_id for annotation in given.annotations}
    named |= {item.video_id for items in given.lists.values() for item in items}
    videos = joined.dataset.by_id
    assert named <= set(videos)
    found = {finding.kind: set(finding.videos) for finding in joined.findings}
    assert len(found) == len(joined.findings), "one finding of a kind"
    for annotation in given.annotations:
        name, n_frames = annotation.video_id, videos[annotation.video_id].n_frames
        kept = [(i.start_frame, i.stop_frame) for i in joined.dataset.intervals_of(name)]
        wanted = sorted((i.start_frame, i.stop_frame) for i in annotation.intervals)
        if n_frames is not None:
            if any(start < n_frames < stop for start, stop in wanted):
                assert name in found["interval past the end"]
            if any(start >= n_frames for start, _ in wanted):
                assert name in found["interval after the end"]
            wanted = sorted((start, min(stop, n_frames)) for start, stop in wanted if start < n_frames)
        assert kept == wanted
    if given.files is not None:
        missing = set().union(*(names for kind, names in found.items() if kind.startswith("missing ")))
        assert missing == set(videos) - set(given.files) == set(joined.dataset.missing)
        assert found.get("extra videos", set()) == set(given.files) - set(videos)


SETS = {
    "ucf-crime": ("Temporal_Anomaly_Annotation.txt", UCF, "Anomaly_Test.txt", "Abuse/Abuse028_x264.mp4"),
    "xd-violence": ("annotations.txt", XD, "test_videos.txt", XD.split(" ", 1)[0]),
    "msad": ("Temporal_Anomaly_Annotation.txt", "Assault_2.mp4 Assault 3 9 -1 -1", "anomaly_test.txt", LIST),
    "hivau": ("ucf_database_test.json", '{"Abuse028_x264": {"n_frames": 9, "fps": 30, "label": [], "events": []}}',
              "x.txt", "x"),
}  # fmt: skip


@cases(500)
@given(
    which=st.sampled_from(sorted(SETS)),
    data=st.data(),
    counts=st.none() | files_of(COUNT, "video,frames"),
    n_frames=st.none() | st.integers(0, 1000),
)
def test_opening_a_damaged_dataset(
    tmp_path_factory: pytest.TempPathFactory,
    which: str,
    data: st.DataObject,
    counts: bytes | None,
    n_frames: int | None,
) -> None:
    """Truth and dataset are there or refused in a sentence; nothing else is ever raised."""
    folder = tmp_path_factory.mktemp("set")
    annotation, line, listing, listed = SETS[which]
    (folder / annotation).write_bytes(data.draw(st.just(line.encode()) | files_of(line)))
    if data.draw(st.booleans()):
        (folder / listing).write_bytes(data.draw(st.just(listed.encode()) | files_of(listed)))
    if counts is not None:
        (folder / "test_frame_counts.csv").write_bytes(counts)
    (folder / "Abuse028_x264.mp4").touch()
    config = DatasetConfig(name="d", format=which, source=".", videos=".")
    probed = (ProbedVideo("Abuse028_x264", "test", n_frames, 25.0, "f"),)
    for opened in (lambda: open_dataset(config, folder), lambda: open_truth(config, folder, probed)):
        try:
            dataset = opened()
        except VadprobeError as error:
            refusal: str | None = str(error)
        else:
            refusal = None
            assert len(dataset.truth_digest) == 64
            assert all(video.video_id for video in dataset.videos)
        assert refusal is None or refusal.endswith((".", "?"))
