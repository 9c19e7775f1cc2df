"""Score files: five formats, one meaning; whatever is in the file, an error is a sentence."""

import json
import math
import random
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from vadprobe.analyze.evaluation.score_files.reading import read_scores
from vadprobe.store.errors import VadprobeError

SCORES = {"007": [0.25, None, 0.5], "a.b": [1.0, 0.0], "2020-01-01": [0.125]}
SUFFIXES = (".json", ".npz", ".csv", ".jsonl", ".parquet")


def rows_of(scores):
    return [(name, frame, score) for name, values in scores.items() for frame, score in enumerate(values)]


def write_scores(path, scores):
    """Scores per frame, in the format of the path's suffix; None is unknown."""
    rows = rows_of(scores)
    if path.suffix == ".json":
        path.write_text(json.dumps(scores))
    elif path.suffix == ".npz":
        np.savez(path, **{name: np.array(values, dtype=np.float64) for name, values in scores.items()})
    elif path.suffix == ".csv":
        lines = [f"{name},{frame},{'' if score is None else score}" for name, frame, score in rows]
        path.write_text("\n".join(["video_id,frame,score", *lines]) + "\n")
    elif path.suffix == ".jsonl":
        lines = [json.dumps({"video_id": name, "frame": frame, "score": score}) for name, frame, score in rows]
        path.write_text("\n".join(lines))
    else:
        names, frames, values = zip(*rows, strict=True)
        pq.write_table(pa.table({"video_id": names, "frame": frames, "score": values}), path)
    return path


def message_of(path, **options):
    with pytest.raises(VadprobeError) as caught:
        read_scores(path, **options)
    return str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_formats_say_the_same(tmp_path: Path, suffix: str) -> None:
    found = read_scores(write_scores(tmp_path / f"s{suffix}", SCORES))
    assert found.keys() == SCORES.keys(), "names stay text: no number, no date"
    for name, values in SCORES.items():
        wanted = [math.nan if value is None else value for value in values]
        np.testing.assert_array_equal(found[name].scores, wanted)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_lose_folder_and_extension_and_may_not_meet(tmp_path: Path, suffix: str) -> None:
    assert list(read_scores(write_scores(tmp_path / f"s{suffix}", {"x/a.MP4": [0.5]}))) == ["a"]
    path = write_scores(tmp_path / f"t{suffix}", {"a": [0.5], "x/a.mkv": [0.5]})
    assert "has scores of the video 'a' twice ('a' and 'x/a.mkv'); keep one of them" in message_of(path)


def test_segments_of_json_and_tables(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"v": [[5, 9, 0.5], [0, 5, null]]}')
    (tmp_path / "s.csv").write_text("\ufeffvideo, start_frame ,stop_frame,prediction\r\nv,5,9,0.5\r\nv,0,5,\r\n")
    by_json, by_csv = read_scores(tmp_path / "s.json")["v"], read_scores(tmp_path / "s.csv")["v"]
    assert sorted(zip(by_json.starts, by_json.stops, strict=True)) == [(0, 5), (5, 9)]
    np.testing.assert_array_equal(by_csv.starts, [0, 5])
    np.testing.assert_array_equal(by_csv.scores, [math.nan, 0.5])


def test_columns_of_other_names_are_named(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("clip,p,segment\nv,0.5,0\n")
    found = read_scores(path, video_column="clip", score_column="p")
    assert (found["v"].unit, found["v"].scores.tolist()) == ("segment", [0.5])
    assert "no column 'video_id' or 'video' or 'name', only 'clip', 'p', 'segment'" in message_of(path)
    assert "name it with --score-column" in message_of(path, video_column="clip")


def test_a_column_that_begins_with_whole_numbers_is_read_to_its_end(tmp_path: Path) -> None:
    lines = ["video_id,frame,score", *(f"{n % 7},{n},0" for n in range(200_000)), "v,0,0.5"]
    (tmp_path / "s.csv").write_text("\n".join(lines) + "\n")
    assert read_scores(tmp_path / "s.csv")["v"].scores.tolist() == [0.5]


@pytest.mark.parametrize(
    ("content", "key", "names"),
    [
        ('{"x": {"y": {"v": [1]}}}', "x.y", ["v"]),
        ('{"x.y": {"v": [1]}, "fps": 3}', "x.y", ["v"]),
        ('\ufeff{"v": [1]}', None, ["v"]),
    ],
)
def test_keys_name_a_part_of_a_json_file(tmp_path: Path, content: str, key: str | None, names: list[str]) -> None:
    (tmp_path / "s.json").write_text(content)
    assert list(read_scores(tmp_path / "s.json", key=key)) == names


@pytest.mark.parametrize(
    ("content", "key", "sentence"),
    [
        ("", None, "line 1, is not valid JSON"),
        ("{}", None, "it must be a JSON object with a key for every video"),
        ("[1]", None, "it must be a JSON object with a key for every video"),
        ("[" * 100_000, None, "not readable as JSON"),
        ('{"x": {"y": {"v": [1]}}}', None, "such as --scores-key x.y."),
        ('{"v": [1], "meta": {"fps": 3}}', None, "put these under a key and name it with --scores-key"),
        ('{"v": [1], "fps": 3}', None, "the scores of 'fps' must be a list, one number per frame or segment, got 3"),
        ('{"x": {"v": [1]}}', "z", "there is no 'z' among x; correct --scores-key"),
        ('{"x": {"v": [1]}}', "x.v.w", "there is no 'w' among a list"),
        ('{"x": [1]}', "x", "to scores under 'x', got a list"),
        ('{"x": {}}', "x", "to scores under 'x', got an empty object"),
        ('{"x": {"v": [1]}, "x": {"w": [1]}}', "x", "has the key 'x' twice"),
        ('{"v": [1], "v": [2]}', None, "has scores of the video 'v' twice; keep one"),
        ('{"": [1]}', None, "'' is not a video name"),
        ('{"\\ud800": [1]}', None, "is not a video name"),
        ('{"v": ["0.5"]}', None, "score 0 of 'v' must be a number, or null (unknown), got '0.5'"),
        ('{"v": [0, true]}', None, "got True"),
        ('{"v": [[0, 5]]}', None, "must be a list of numbers, or of [start, stop, score] only"),
        ('{"v": [[0, 5, 1], 2]}', None, "must be a list of numbers, or of [start, stop, score] only"),
        ('{"v": [[0.5, 5, 1]]}', None, "must be a whole number from 0, below 1099511627776, got 0.5"),
        ('{"v": [[null, 5, 1]]}', None, "got null"),
        ('{"v": [[-1, 5, 1]]}', None, "got -1"),
        ('{"v": [Infinity]}', None, "must be numbers within 1e100, or null (unknown), got an infinite value"),
        ('{"v": [1e999]}', None, "must be numbers within 1e100, or null (unknown), got an infinite value"),
        ('{"v": [-1e300]}', None, "got -1e+300"),
        ('{"v": [0, 1' + "0" * 400 + "]}", None, "score 1 of 'v' must be a number within 1e100"),
    ],
)
def test_wrong_json_is_a_sentence(tmp_path: Path, content: str, key: str | None, sentence: str) -> None:
    (tmp_path / "s.json").write_text(content)
    message = message_of(tmp_path / "s.json", key=key)
    assert sentence in message
    assert "s.json" in message


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("s.csv", "", "Empty CSV file"),
        ("s.csv", "video_id,frame,score\n", "has no row"),
        (
            "s.csv",
            "video_id,score\nv,1\n",
            "no column says which frames a score belongs to; add start_frame and stop_frame",
        ),
        ("s.csv", "video_id,frame,score,score\nv,0,1,2\n", "has the column 'score' twice"),
        ("s.csv", "video_id,frame,score\nv,0,true\n", "invalid value 'true'"),
        (
            "s.csv",
            "video_id,frame,score\nv,0,inf\n",
            "must be numbers within 1e100, or null (unknown), got an infinite value",
        ),
        ("s.csv", "video_id,frame,score\nv,0.5,1\n", "a frame or segment number of 'frame' must be a whole number"),
        ("s.csv", "video_id,frame,score\nv,0,1\n,1,1\n", "the column 'video_id' is empty in row 2"),
        ("s.csv", "video_id,frame,score\nv,0\n", "Expected 3 columns, got 2"),
        ("s.csv", b"video_id,frame,score\n\xff,0,1\n", "invalid UTF8"),
        ("s.jsonl", "", "has no row"),
        ("s.jsonl", '{"video_id": "v", "frame": 0, "score": 1}\n{"vid', "line 2, must be one object in JSON"),
        ("s.jsonl", "[1]", "line 1, must be one object in JSON, got a list"),
        (
            "s.jsonl",
            '\n{"video_id": "v", "frame": 0, "score": false}',
            "'score' in line 2 must be a number, or null (unknown), got False",
        ),
        ("s.jsonl", '{"video_id": 7, "frame": 0, "score": 1}', "'video_id' in line 1 must be a video name, got 7"),
        ("s.jsonl", '{"video_id": "v", "score": 1, "score": 2}', "an object with a key twice"),
        ("s.parquet", b"PAR1", "cannot be read"),
        ("s.npz", b"", "not readable as NPZ"),
        ("s.pkl", b"", "is none of .json, .npz, .csv, .jsonl, .parquet"),
    ],
)
def test_wrong_files_are_sentences(tmp_path: Path, name: str, content: str | bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert sentence in message_of(tmp_path / name)


@pytest.mark.parametrize("values", [[True], ["0.5"], [[0.5]]])
def test_parquet_columns_that_are_no_numbers(tmp_path: Path, values: list[object]) -> None:
    pq.write_table(pa.table({"video_id": ["v"], "frame": [0], "score": values}), tmp_path / "s.parquet")
    assert "must hold numbers" in message_of(tmp_path / "s.parquet")


def test_paths_and_options_that_do_not_fit(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "s.json", SCORES)
    assert "there is no score file" in message_of(tmp_path / "none.json")
    assert "is a folder; name the score file in it" in message_of(tmp_path)
    assert "cannot be opened" in message_of(tmp_path / ("x" * 400 + ".json"))
    assert "leave out --video-column" in message_of(path, video_column="v")
    assert "goes with a JSON file" in message_of(write_scores(tmp_path / "s.csv", SCORES), key="x")


class _Trap:
    """Unpickling it would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", v=np.array([_Trap(tmp_path / "sprung")], dtype=object))
    assert "holds Python objects, which are never loaded" in message_of(tmp_path / "s.npz")
    (tmp_path / "t.npz").write_bytes((tmp_path / "s.npz").read_bytes()[:90])
    assert "Python objects" in message_of(tmp_path / "t.npz") or "not readable" in message_of(tmp_path / "t.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "values", [np.zeros((3, 1)), np.float64(1), np.array(["x"]), np.zeros(2, bool), np.zeros(2, complex)]
)
def test_arrays_of_another_kind(tmp_path: Path, values: np.ndarray) -> None:
    np.savez(tmp_path / "s.npz", v=values)
    assert "must hold one number per frame or segment" in message_of(tmp_path / "s.npz")


def test_archives_of_another_kind(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.zeros(3))
    (tmp_path / "s.npy").rename(tmp_path / "s.npz")
    assert "not readable as NPZ" in message_of(tmp_path / "s.npz")
    np.savez(tmp_path / "s.npz")
    assert "holds no array" in message_of(tmp_path / "s.npz")
    with zipfile.ZipFile(tmp_path / "s.npz", "w") as archive:
        archive.writestr("readme.txt", "scores")
    assert "'readme.txt' must hold one number per frame or segment, in one dimension, got no array" in message_of(
        tmp_path / "s.npz"
    )


def read_or_refuse(path):
    """Scores, or a sentence: nothing else may come out, not even a warning."""
    try:
        found = read_scores(path)
    except VadprobeError:
        return None
    assert found
    assert all(video.scores.dtype == np.float64 for video in found.values())
    return found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
CELLS = st.sampled_from(
    ["v", "", "0", "1", "0.5", "-1", "1e999", "nan", "NA", "true", '"', "a.mp4", "9" * 20, "\x00", "ü"]
)


@laws(1000)
@given(value=JSON, named=st.booleans())
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, value: object, named: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps({"v": value} if named else value))
    read_or_refuse(path)
    path = path.with_suffix(".jsonl")
    path.write_text(json.dumps({"video_id": value, "frame": 0, "score": 1} if named else value))
    read_or_refuse(path)


@laws(500)
@given(
    header=st.permutations(["video_id", "frame", "score", "segment", "x"]),
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=4), max_size=4),
    width=st.integers(2, 5),
)
def test_any_table_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, header: list[str], rows: list[list[str]], width: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("\n".join(",".join(row) for row in [header[:width], *rows]))
    read_or_refuse(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files_are_read_or_refused(tmp_path: Path, suffix: str) -> None:
    whole = write_scores(tmp_path / f"s{suffix}", {"a": [0.5, 0.25, None], "b.mp4": [1, 0]}).read_bytes()
    path = tmp_path / f"damaged{suffix}"
    draw = random.Random(f"damage {suffix}")
    n_read = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(content))
            kind = draw.random()
            if kind < 0.6:
                content[place] = draw.randrange(256)
            elif kind < 0.8:
                del content[place : place + draw.randint(1, 9)]
            else:
                content[place:place] = content[draw.randrange(len(content)) :][: draw.randint(1, 9)]
            content = content or bytearray(b"0")
        path.write_bytes(content)
        n_read += read_or_refuse(path) is not None
        path.write_bytes(draw.randbytes(draw.randint(0, 60)))
        read_or_refuse(path)
    assert n_read < 400


def test_a_name_twice_in_an_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", v=np.zeros(2))
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "s.npz", "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("v.npy", archive.read("v.npy"))
    assert "has scores of the video 'v' twice" in message_of(tmp_path / "s.npz")
