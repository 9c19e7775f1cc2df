"""Checks of a store as a whole: header, small files, the clip table, and files outside the plan."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.store.verification.damage import N_CLIPS, flip, found, only, record_of
from tests.support.builders import clip_table, edit_json, features, planned_store
from vadprobe.store.errors import StoreError
from vadprobe.store.files.digests import digest_json
from vadprobe.store.format.layout import clips_of
from vadprobe.store.format.store_header import read_attributes
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing.store_files import covered_path


def test_every_small_file_that_was_changed_or_lost_is_found(own):
    names = read_attributes(own)["checksums"]["files"]
    assert len(names) == 3 + 2 * 5 + 2
    for name in names:
        path = covered_path(own, name)
        content = path.read_bytes()
        flip(path, len(content) // 2)
        if path.parent == own.parents[1]:  # of a damaged clip table the message is another
            assert [path in problem.files for problem in verify(own).problems] == [True]
        else:
            only(found(own), None, f"{name} was changed after it was written")
            path.unlink()
            only(found(own), None, f"{name} is missing")
        path.write_bytes(content)


@pytest.mark.parametrize(("part", "change"), [("recipe", {"device": "cuda"}), ("backbone", {"n_layers": 3})])
def test_an_edited_specification_is_found_and_no_partition_is_judged_by_it(own, part, change):
    edit_json(own / "zarr.json", lambda content: content["attributes"]["vadprobe"]["spec"][part].update(change))
    problems = verify(own).problems
    assert problems[0].partition is None
    assert "the specification has digest" in problems[0].message
    assert {problem.remedy for problem in problems} == {"restore"}


def test_a_store_that_is_not_committed_is_found(tmp_path):
    writer = planned_store(tmp_path, N_CLIPS)
    writer.write_partition(0, features(writer.spec, 0))
    assert found(writer.path) == [
        (None, "not committed: the extraction has not finished"),
        (1, "it has no record: it was never finished"),
    ]


def test_an_edited_clip_table_is_found(own):
    path = clips_of(own)
    table = pq.read_table(path)
    stops = table["stop_frame"].to_pylist()
    stops[-1] += 1
    edited = table.set_column(table.column_names.index("stop_frame"), table.schema.field("stop_frame"), pa.array(stops))
    pq.write_table(edited, path)
    only(found(own), None, "was changed after it was written")
    path.unlink()
    only(found(own), None, "no clip table")
    clip_table(299).write(path)
    only(found(own), None, "was written for the clip table")


@pytest.mark.parametrize(
    "stray", ["2/0/0", "notes.txt", "0.partial", "0/1/0", "0/0/1", "0/0/0.0123456789abcdef.partial"]
)
def test_shards_outside_the_plan_are_found(own, stray):
    path = own / "hidden_states" / "c" / stray
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"stray")
    only(found(own), None, f"the array hidden_states has files outside the plan: hidden_states/c/{stray}")


def test_a_record_too_many_is_found(own):
    shutil.copy(record_of(own, 1), record_of(own, 2))
    assert found(own) != []


def test_a_missing_array_is_found(own):
    shutil.rmtree(own / "head_outputs")
    assert found(own) == [(None, "head_outputs/zarr.json is missing")] + [
        (partition, "the shard of head_outputs is missing") for partition in (0, 1)
    ]


def test_a_place_without_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match=rf"no feature store at {tmp_path}"):
        verify(tmp_path)


def test_a_specification_of_another_form_is_told(own):
    edit_json(own / "zarr.json", lambda content: content["attributes"]["vadprobe"]["spec"].update(note="by hand"))
    only(found(own), None, "note")


def _no_files_at_all(checksums):
    checksums.update(files={}, digest=digest_json({}))


def _a_file_elsewhere(checksums):
    checksums["files"]["../../../../../../../../../../etc/hostname"] = "0" * 64
    checksums["digest"] = digest_json(checksums["files"])


@pytest.mark.parametrize(
    "edit",
    [
        lambda checksums: checksums["files"].update({"clips.parquet": "0" * 64}),
        lambda checksums: checksums["files"].pop("clips.parquet"),
        lambda checksums: checksums.update(files=None),
        _no_files_at_all,
        _a_file_elsewhere,
    ],
)
def test_edited_checksums_are_found(own, edit):
    edit_json(own / "zarr.json", lambda content: edit(content["attributes"]["vadprobe"]["checksums"]))
    only(found(own), None, "the attribute checksums was changed after it was written")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("n_failed", "the attribute n_failed is 7"),
        ("partition_rows", "the attribute partition_rows must be 256, got 7"),
        ("state", "the attribute state must be 'open' or 'committed', got 7"),
        ("digest", "the specification has digest"),
        ("clips_digest", "the attribute clips_digest is not that of the specification"),
    ],
)
def test_an_edited_attribute_is_found(own, name, message):
    edit_json(own / "zarr.json", lambda content: content["attributes"]["vadprobe"].update({name: 7}))
    only(found(own), None, message)


def test_metadata_are_checked_though_the_checksums_name_nothing(own):
    """Whoever edits the checksums with their digest hides no damage: the files are then checked by content."""
    edit_json(own / "zarr.json", lambda content: _no_files_at_all(content["attributes"]["vadprobe"]["checksums"]))
    edit_json(own / "head_outputs" / "zarr.json", lambda content: content.update(fill_value=0.0))
    messages = [message for _, message in found(own)]
    assert any("metadata of head_outputs are not those of the format" in message for message in messages)


def test_a_clip_table_that_a_repair_of_another_store_wrote_anew_is_sound(own):
    table = clips_of(own)
    checksum = "0" * 64  # of the file as another version of Parquet wrote it

    def edit(content):
        checksums = content["attributes"]["vadprobe"]["checksums"]
        checksums["files"]["clips.parquet"] = checksum
        checksums["digest"] = digest_json(checksums["files"])

    edit_json(own / "zarr.json", edit)
    assert found(own) == []
    table.write_bytes(table.read_bytes() + b"\0")
    assert found(own) != []
