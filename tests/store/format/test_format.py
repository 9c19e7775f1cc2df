"""FORMAT.md says what stores are: its tables, digests and examples hold for stores that were just written."""

import hashlib
import json
import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import format_page as page
from tests.support.builders import (
    BACKBONE,
    FEATURES,
    PROMPT,
    RAGGED,
    all_features,
    committed_store,
    features,
    planned_store,
)
from tests.support.format_page import column, table
from tests.support.strategies import JSON_VALUES, MODERATE
from vadprobe.store.catalog.saved_catalog import CATALOG
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.claims.owner import Owner
from vadprobe.store.datasets.probed_videos import VideoFacts, write_video_facts
from vadprobe.store.datasets.video import Video
from vadprobe.store.exchange.compaction import compact
from vadprobe.store.exchange.headhunt_import import LABELS
from vadprobe.store.exchange.transfer import Choice
from vadprobe.store.files.digests import digest_json, fingerprint_file
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import DatasetLayout, records_of
from vadprobe.store.format.partition_records import grown_record
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import FORMAT_VERSION
from vadprobe.store.format.store_header import read_attributes
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.resume_log import VerificationLog
from vadprobe.store.writing.timings.run_timings import RunTimings
from vadprobe.store.writing.writer import StoreWriter

DTYPES = ("bfloat16", "float16", "float32")
N_CLIPS = 600
FAILURES = {3: "a frame is broken", 299: "é \u2028 \x7f"}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store of each dtype, with rows that failed."""
    root = tmp_path_factory.mktemp("stores")
    return {dtype: committed_store(root / dtype, N_CLIPS, dtype, FAILURES) for dtype in DTYPES}


@pytest.fixture(scope="module")
def partial(tmp_path_factory):
    """A store of chosen layers, heads and partitions, and one partition of which every row failed."""
    held = StoredParts((1,), ((0, 2), (1, 0)), answers=False, full_partitions=(0,), partitions=(0, 2, 3))
    writer = planned_store(tmp_path_factory.mktemp("partial"), 1100, contents=held)
    failures = dict.fromkeys(range(768, 1024), "no video")
    for partition in writer.partitions:
        writer.write_partition(partition, replace(features(writer.spec, partition, failures), batch_clips=(8, 4)))
    writer.commit()
    return writer


@pytest.fixture(scope="module")
def compacted(stores, tmp_path_factory):
    """A copy of chosen heads in larger partitions."""
    source = FeatureStore.open(stores["bfloat16"].path)
    choice = Choice(layers=(0, 1, 2), heads=((0, 1), (1, 2)))
    return compact(source, tmp_path_factory.mktemp("compacted"), choice, 400).writer


def metadata(writer: StoreWriter, name: str) -> dict[str, Any]:
    return json.loads((writer.path / name / "zarr.json").read_text(encoding="utf-8"))


def vadprobe(writer: StoreWriter) -> dict[str, Any]:
    return metadata(writer, "")["attributes"]["vadprobe"]


def records(writer: StoreWriter) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(records_of(writer.path).iterdir())]


# Tables


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


TYPES = {
    "integer": is_integer,
    "number": lambda value: isinstance(value, float),
    "string": lambda value: isinstance(value, str),
    "object": lambda value: isinstance(value, dict),
    "integer or null": lambda value: value is None or is_integer(value),
    "two integers": lambda value: len(value) == 2 and all(map(is_integer, value)),
    "list of two integers": lambda value: all(len(two) == 2 and all(map(is_integer, two)) for two in value),
    "list of integers": lambda value: isinstance(value, list) and all(map(is_integer, value)),
    "list of `[block, head]`": lambda value: all(len(head) == 2 and all(map(is_integer, head)) for head in value),
    "false": lambda value: value is False,
}


def check_keys(heading: str, *objects: dict[str, Any]) -> None:
    """The page's keys are those of the objects together, and every value is of the page's type."""
    documented = column(heading)
    assert set().union(*objects) == set(documented)
    for found in objects:
        for key, value in found.items():
            assert TYPES[documented[key]](value), (heading, key, value)


def test_every_key_of_the_group_is_on_the_page(stores, partial, compacted):
    found = [vadprobe(writer) for writer in (*stores.values(), partial, compacted)]
    check_keys("key of vadprobe", *found)
    check_keys("key of spec", *(one["spec"] for one in found))
    check_keys("key of contents", vadprobe(partial)["contents"], vadprobe(compacted)["contents"])
    assert vadprobe(compacted)["contents"]["partition_rows"] == vadprobe(compacted)["partition_rows"] == 400
    for name in ("sampling", "backbone", "prompt"):
        elsewhere = replace(PROMPT, before="A camera.").at("mean-vision")
        ragged = replace(stores["bfloat16"].spec, backbone=RAGGED, prompt=elsewhere).to_json()
        check_keys(f"key of {name}", *(one[name] for one in (ragged, *(one["spec"] for one in found))))
    video = replace(stores["bfloat16"].spec, sampling=Sampling("video", None, 8)).to_json()
    check_keys("key of sampling", video["sampling"])
    assert set(column("values")) == set(DTYPES)


def test_the_keys_that_may_be_missing_are_those_the_page_names(stores, partial, tmp_path):
    planned = set(vadprobe(planned_store(tmp_path, 3)))
    assert set(column("key of vadprobe")) - planned == {"n_failed", "contents"}
    assert set(vadprobe(stores["bfloat16"])) - planned == {"n_failed"}
    assert set(vadprobe(partial)) - planned == {"n_failed", "contents"}


def test_checksums_cover_the_files_that_the_page_names(stores, partial, compacted):
    for writer in (*stores.values(), partial, compacted):
        checksums, folder = vadprobe(writer)["checksums"], writer.path.parents[1]
        check_keys("key of checksums", checksums)
        assert checksums["digest"] == page.digest(checksums["files"])
        paths = {f"{name}/zarr.json": writer.path / name / "zarr.json" for name in FEATURES}
        for name in column("coordinate"):
            paths |= {f"{name}/{file}": writer.path / name / file for file in ("zarr.json", "c/0")}
        paths |= {name: folder / name for name in ("clip_videos.parquet", "clips.parquet")}
        found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}
        assert checksums["files"] == found


def test_every_key_of_records_is_on_the_page(stores, partial):
    whole = [record for writer in stores.values() for record in records(writer)]
    growing = grown_record(next(iter(records(partial))), partial.spec, partial.contents)
    check_keys("key of a record", *whole, *records(partial), growing)
    assert growing["grown"] == {name: growing[name] for name in ("spec_digest", "contents_digest")}
    optional = {"contents_digest", "batch_clips", "grown"}
    assert {key for record in whole for key in record} == set(column("key of a record")) - optional
    for record in (*whole, *records(partial)):
        assert set(record["shards"]) == set(FEATURES)
        for shard in record["shards"].values():
            assert set(shard) == {"sha256", "bytes"}
            assert (shard["sha256"] is None) == (shard["bytes"] == 0)
    failures = {key: reason for record in records(stores["float16"]) for key, reason in record["failures"].items()}
    assert failures == {str(row): reason for row, reason in FAILURES.items()}
    for path in records_of(partial.path).iterdir():
        content = path.read_text(encoding="ascii")
        assert content == json.dumps(json.loads(content), indent=1, sort_keys=True) + "\n"


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_array_is_as_on_the_page(stores, dtype):
    writer, sizes = stores[dtype], asdict(BACKBONE)
    terms = {**sizes, "n_clips": N_CLIPS, "n_layers + 1": sizes["n_layers"] + 1, "rows": 256, "2": 2, "1": 1}
    data_type, typesize, cname, clevel, shuffle = settings_of(dtype)
    coordinates = column("coordinate")
    assert {path.name for path in writer.path.iterdir()} == {*column("array"), *coordinates, "zarr.json"}
    for name, dims, *shapes in table("array"):
        found = metadata(writer, name)
        shape, shard, chunk = ([terms[term] for term in text.split(", ")] for text in shapes)
        assert found["dimension_names"] == dims.split(", ")
        assert (found["shape"], found["chunk_grid"]["configuration"]["chunk_shape"]) == (shape, shard)
        (sharding,) = found["codecs"]
        settings = sharding["configuration"]
        assert (settings["chunk_shape"], settings["index_location"]) == (chunk, "end")
        assert (found["data_type"], found["fill_value"]) == (data_type, "NaN")
        assert [codec["name"] for codec in settings["index_codecs"]] == ["bytes", "crc32c"]
        check_codecs(settings["codecs"], int(typesize), cname, int(clevel), shuffle)
        assert set(found["attributes"]) == {"description", "values"}
        assert found["attributes"]["values"] == dtype
        assert found["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}


def settings_of(dtype: str) -> list[str]:
    return next(row[1:] for row in table("values") if row[0] == dtype)


def check_codecs(codecs: list[dict[str, Any]], typesize: int, cname: str, clevel: int, shuffle: str) -> None:
    assert [codec["name"] for codec in codecs] == ["bytes", "blosc", "crc32c"]
    assert codecs[0]["configuration"] == {"endian": "little"}
    settings = {"typesize": typesize, "cname": cname, "clevel": clevel, "shuffle": shuffle, "blocksize": 0}
    assert codecs[1]["configuration"] == settings


def test_every_coordinate_is_as_on_the_page(stores):
    _, _, cname, clevel, shuffle = settings_of("float32")
    for writer in stores.values():
        codes = pq.ParquetFile(writer.path.parents[1] / "clips.parquet").read()["video_code"].to_numpy()
        layers = BACKBONE.n_layers
        values = {
            "clip": np.arange(N_CLIPS), "layer": np.arange(layers + 1), "block": np.arange(layers), "video_code": codes,
            "answer_code": np.arange(2),
        }  # fmt: skip
        for name, dimension, data_type, _ in table("coordinate"):
            found = metadata(writer, name)
            assert (found["dimension_names"], found["data_type"]) == ([dimension], data_type)
            assert found["chunk_grid"]["configuration"]["chunk_shape"] == found["shape"] == [len(values[name])]
            assert found["fill_value"] == -1
            check_codecs(found["codecs"], np.dtype(data_type).itemsize, cname, int(clevel), shuffle)
            frame = page.without_checksum((writer.path / name / "c" / "0").read_bytes())
            np.testing.assert_array_equal(np.frombuffer(page.blosc.decompress(frame), data_type), values[name])


def check_columns(heading: str, path: Path) -> None:
    schema = pq.read_schema(path)
    names = {"large_string": "string"}
    found = {field.name: names.get(str(field.type), str(field.type)) for field in schema}
    found = {name: re.sub(r"list<\w+: (\w+)>", r"list<\1>", kind) for name, kind in found.items()}
    assert found == column(heading)


def test_every_column_is_on_the_page(stores, tmp_path):
    folder = stores["float32"].path.parents[1]
    check_columns("column of clips.parquet", folder / "clips.parquet")
    check_columns("column of clip_videos.parquet", folder / "clip_videos.parquet")
    keys = set(pq.read_metadata(folder / "clips.parquet").metadata) - {b"ARROW:schema"}
    assert keys == {b"vadprobe.sampling", b"vadprobe.digest"}
    path = tmp_path / "videos.parquet"
    write_video_facts([VideoFacts("a", "test", 1, 25.0, "f"), VideoFacts("b", "test", None, None, "", "no")], path)
    check_columns("column of videos.parquet", path)


def test_frames_of_clips_are_as_on_the_page(stores):
    clips = pq.ParquetFile(stores["float32"].path.parents[1] / "clips.parquet").read().to_pylist()
    assert [clip["row"] for clip in clips] == list(range(N_CLIPS))
    for before, clip in zip([None, *clips], clips, strict=False):
        start, stop = clip["start_frame"], clip["stop_frame"]
        first = before is None or before["video_code"] != clip["video_code"]
        assert start == (0 if first else before["stop_frame"]) == 24 * clip["index"]
        assert clip["frame_indices"] == [start + (2 * i + 1) * (stop - start) // 16 for i in range(8)]


def test_every_file_of_a_root_has_its_place_on_the_page(tmp_path):
    writer = committed_store(tmp_path, 300)
    layout = DatasetLayout(tmp_path, writer.spec.dataset)
    write_video_facts([VideoFacts("a", "test", 1, 25.0, "f")], layout.videos)
    (writer.path.parent / "README.md").write_text("the store card")
    RunTimings("a" * 32, "", "CPU", "float32", 0.0, {}, ()).write(writer.path.parent)
    (layout.folder / LABELS).write_text("video_id,label,category")
    (tmp_path / CATALOG).write_text("{}")
    log = VerificationLog(writer.path, writer.spec.digest, resume=False)
    log.add(0, "a", {"answer_logits": (1, 2, 3)})
    with claims_in(writer.path.parent).hold(1) as claim:
        claim.staging.stage("question.json", [b""])
        names = {"dataset": "toys", "sampling": "segment-24-8", "backbone": "toy", "prompt": "question"}
        places = {
            re.sub(r"<(\w+)>", lambda match: names[match[1]], place): False for place in column("path below the root")
        }
        for file in (path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()):
            place = next((one for one in places if file == one or (one.endswith("/") and file.startswith(one))), None)
            if place is None:
                assert file == "toys/segment-24-8/.planning"
            else:
                places[place] = True
        assert all(places.values()), places
        (path,) = (path for path in (writer.path.parent / ".claims").iterdir() if path.is_file())
        assert path.name == "000001.lock"
        assert path.read_text() == f"process {os.getpid()} on {os.uname().nodename}\n"
        assert [path.name for path in path.parent.glob("*/*")] == ["question.json"]
        assert list(path.parent.glob("000001.*.staging"))
    content = Owner.here(60).content(0)  # of a claim on an object store
    owner = json.loads(content)
    check_keys("key of a claim", owner)
    assert (len(owner["beat"]), content[-1:]) == (12, b"\n")
    head, line = map(json.loads, log.path.read_text().splitlines())
    assert set(head) == {"version", "spec", "begun"}
    assert set(line) == {"partition", "record", "shards"}
    assert not (writer.path.parent / ".claims").exists()


# Digests


def test_every_digest_follows_from_the_words_of_the_page(stores, partial, compacted):
    for writer in (*stores.values(), partial, compacted):
        found, folder = vadprobe(writer), writer.path.parents[1]
        assert found["digest"] == page.digest(found["spec"])
        assert found["clips_digest"] == found["spec"]["clips_digest"] == page.clips_digest(folder)
        assert pq.read_metadata(folder / "clips.parquet").metadata[b"vadprobe.digest"].decode() == found["clips_digest"]
        for record in records(writer):
            assert record["digest"] == page.digest({key: value for key, value in record.items() if key != "digest"})
            assert record["rows_digest"] == page.rows_digest(folder, record["rows"])
            assert record["spec_digest"] == found["digest"]
            expected = page.digest(found["contents"]) if "contents" in found else None
            assert record.get("contents_digest") == expected
            for name, shard in record["shards"].items():
                files = list((writer.path / name / "c" / str(record["partition"])).rglob("*"))
                content = next((path.read_bytes() for path in files if path.is_file()), b"")
                assert shard["bytes"] == len(content)
                assert shard["sha256"] == (hashlib.sha256(content).hexdigest() if content else None)


def test_the_digests_in_the_page_s_table_are_right():
    for _, form, expected in table("value"):
        assert page.canonical(json.loads(form)) == form
        assert hashlib.sha256(form.encode()).hexdigest() == expected


@MODERATE
@given(JSON_VALUES)
def test_the_canonical_form_is_that_of_the_page(value):
    assert page.digest(value) == digest_json(value)


def test_numbers_are_written_as_on_the_page():
    for number in (1e-5, 1e-4, 1e15, 1e16, 1.0, -0.0, 5e-324, 1.7976931348623157e308, 123456789.125, 2**70):
        assert page.digest([number]) == digest_json([number]), number


@MODERATE
@given(st.text(st.characters(max_codepoint=0x2FF)))
def test_strings_are_escaped_as_on_the_page(text):
    assert page.digest({text: text}) == digest_json({text: text})


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1, 2**21, 2**21 + 7])
def test_a_fingerprint_is_as_on_the_page(tmp_path, size):
    content = np.random.default_rng(0).bytes(size)
    (tmp_path / "a.mp4").write_bytes(content)
    assert fingerprint_file(tmp_path / "a.mp4") == page.fingerprint(content)


# Values


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_reader_made_from_the_page_reads_every_value(stores, dtype, name):
    values, written = page.read_array(stores[dtype].path, name)
    wanted = all_features(stores[dtype].spec, name, FAILURES)
    assert values.dtype == wanted.dtype
    np.testing.assert_array_equal(values.view(f"u{values.itemsize}"), wanted.view(f"u{values.itemsize}"))
    assert np.flatnonzero(~written).tolist() == sorted(FAILURES)


@pytest.mark.parametrize("name", FEATURES)
def test_a_reader_made_from_the_page_reads_what_a_partial_store_holds(partial, name):
    values, written = page.read_array(partial.path, name)
    wanted = all_features(partial.spec, name)
    held = np.zeros(wanted.shape, bool)
    if name == "hidden_states":
        held[:, 1] = held[:256] = True
    elif name == "head_outputs":
        held[:, 0, 2] = held[:, 1, 0] = held[:256] = True
    held[256:512] = held[768:1024] = held[1024:] = False
    np.testing.assert_array_equal(values[held], wanted[held])
    assert np.isnan(values[~held]).all()
    assert np.flatnonzero(written).tolist() == [*range(256), *range(512, 768)]


@pytest.mark.parametrize("name", FEATURES)
def test_a_reader_made_from_the_page_reads_a_compacted_store(stores, compacted, name):
    values, written = page.read_array(compacted.path, name)
    wanted = all_features(stores["bfloat16"].spec, name, FAILURES)
    if name == "head_outputs":
        assert np.isnan(values[:, [0, 0, 1, 1], [0, 2, 0, 1]]).all()
        values, wanted = (array[:, [0, 1], [1, 2]] for array in (values, wanted))
    np.testing.assert_array_equal(values, wanted)
    assert np.flatnonzero(~written).tolist() == sorted(FAILURES)


def test_unknown_rates_and_fingerprints_are_digested_as_on_the_page(tmp_path):
    clips = ClipTable.build([Video("a", "", 30), Video("b", "", 10, 29.97)], ["", ""], Sampling("video", None, 8))
    clips.write(tmp_path / "video-8" / "clips.parquet")
    assert page.clips_digest(tmp_path / "video-8") == clips.digest
    assert pq.read_metadata(tmp_path / "video-8" / "clips.parquet").metadata[b"vadprobe.sampling"] == b"video,,8"


def test_the_page_s_bit_patterns_are_right():
    for narrow, carried, stored, value in table("bfloat16"):
        bits = np.array([int(carried, 16)], "<u4")
        assert int(carried, 16) >> 16 == int(narrow, 16)
        assert int(carried, 16) & 0xFFFF == 0
        assert bits.tobytes().hex(" ") == stored
        assert repr(float(bits.view("<f4")[0])) == value


def test_the_page_s_checksum_is_the_one_that_is_stored(stores):
    assert f"0x{page.crc32c(b'123456789'):X}" in page.PAGE.read_text(encoding="utf-8")
    content = (stores["bfloat16"].path / "answer_logits" / "c" / "0" / "0").read_bytes()
    assert page.crc32c(content[-20:-4]) == int.from_bytes(content[-4:], "little")


@pytest.mark.parametrize("number", range(len(page.examples("python"))))
def test_the_examples_of_the_page_run(stores, number):
    code = page.examples("python")[number]
    for module in re.findall(r"^import (\w+)", code, re.MULTILINE):
        pytest.importorskip(module)
    store = stores["bfloat16"]
    found: dict[str, Any] = {"STORE": str(store.path)}
    exec(compile(code, str(page.PAGE), "exec"), found)
    if "one_head" in found:
        wanted = all_features(store.spec, "head_outputs", FAILURES)[:, 1, 2]
        np.testing.assert_array_equal(np.asarray(found["one_head"]), wanted)
    if "counts" in found:
        assert sum(count for _, count in found["counts"]) == N_CLIPS
        assert found["frames"] == [(int(store.clips.frame_indices[0, 0]),)]


# Versions


def test_the_page_is_about_the_version_that_is_written(stores):
    assert f"# The feature store, format version {FORMAT_VERSION}\n" in page.PAGE.read_text(encoding="utf-8")
    assert max(int(row[0]) for row in table("version")) == FORMAT_VERSION
    assert vadprobe(stores["bfloat16"])["format_version"] == 1
    assert read_attributes(stores["bfloat16"].path)["partition_rows"] == 256
