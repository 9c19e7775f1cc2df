"""Listings of a root: found from files alone, in whatever state; and the catalog file for unlistable places."""

import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import builders
from tests.support.builders import BACKBONE, PROMPT, SAMPLING, committed_store, edit_json, features, planned_store
from vadprobe.store.catalog.catalog import Catalog, Entry, read_catalog
from vadprobe.store.catalog.inventory import Inventory, contents_text
from vadprobe.store.catalog.saved_catalog import CATALOG
from vadprobe.store.catalog.store_card import store_card, write_card
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.stored_parts import StoredParts

N_CLIPS = 300
FAILURES = {7: "the video ended early", 290: "cannot be decoded"}


class WebPath(type(Path())):  # type: ignore[misc]
    """A folder as a web server shows it: files can be read, nothing can be listed."""

    def iterdir(self) -> Iterator[Path]:
        raise io.UnsupportedOperation("a web server lists no folders")

    def glob(self, pattern: str) -> Iterator[Path]:
        raise io.UnsupportedOperation("a web server lists no folders")

    rglob = glob


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A root of three stores: committed with failures, open and half written, of another dataset. Not changed."""
    root = tmp_path_factory.mktemp("whole")
    committed_store(root, N_CLIPS, failures=FAILURES)
    writer = planned_store(root, N_CLIPS, prompt=Prompt("coarse", PROMPT.text))
    writer.write_partition(0, features(writer.spec, 0))
    backbone, sampling = replace(BACKBONE, key="other-7b"), Sampling("segment", 48, 16)
    committed_store(root, 20, sampling=sampling, dataset="alleys", backbone=backbone)
    return root


@pytest.fixture
def root(tmp_path, whole):
    """A copy of that root that a test may change."""
    return Path(shutil.copytree(whole, tmp_path / "root"))


def by_path(catalog: Catalog) -> dict[str, Entry]:
    return {entry.relative_path: entry for entry in catalog.entries}


OPEN = f"toys/{SAMPLING.key}/toy/coarse.zarr"
DONE = f"toys/{SAMPLING.key}/toy/question.zarr"
OTHER = "alleys/segment-48-16/other-7b/question.zarr"


def test_every_store_is_found_sorted_by_its_place(whole):
    assert [entry.relative_path for entry in read_catalog(whole).entries] == [OTHER, OPEN, DONE]


def test_an_entry_says_what_is_in_the_store(whole):
    found = by_path(read_catalog(whole))
    spec = builders.feature_spec(builders.clip_table(N_CLIPS))
    done = found[DONE]
    assert (done.state, done.n_rows, done.n_planned, done.n_done, done.n_failed) == ("committed", 300, 300, 300, 2)
    assert (done.digest, done.dtype, done.contents, done.reason) == (spec.digest, "bfloat16", "all", None)
    half = found[OPEN]
    assert (half.state, half.n_rows, half.n_planned, half.n_done, half.n_failed) == ("open", 300, 300, 256, 0)


def test_bytes_are_those_of_all_files(whole):
    catalog = read_catalog(whole)
    for entry in catalog.entries:
        store = whole / entry.relative_path
        files = [path for folder in (store, records_of(store)) for path in folder.rglob("*") if path.is_file()]
        assert entry.n_bytes == sum(path.stat().st_size for path in files)
    assert catalog.n_bytes == sum(entry.n_bytes for entry in catalog.entries)


def test_values_are_counted_as_they_are_stored(whole):
    inventory = Inventory.read(whole / OPEN)
    assert [inventory.n_values(array) for array in inventory.arrays] == [256 * 3 * 6, 256 * 2 * 3 * 4, 256 * 2]


def test_values_of_a_part_are_counted(tmp_path):
    held = StoredParts.of(BACKBONE, N_CLIPS, layers=[1], heads=[[0, 2], [1, 0]], full_partitions=[1])
    inventory = Inventory.read(committed_store(tmp_path, N_CLIPS, failures=FAILURES, contents=held).path)
    wanted = [256 * 6 + 44 * 3 * 6, 256 * 2 * 4 + 44 * 2 * 3 * 4, 300 * 2]
    assert [inventory.n_values(array) for array in inventory.arrays] == wanted
    assert by_path(read_catalog(tmp_path))[DONE].contents == "1 layer, 2 heads, 1 partition whole"


def test_a_pulled_subset_is_whole_when_its_partitions_are(tmp_path):
    committed_store(tmp_path, N_CLIPS, contents=StoredParts(partitions=(0,)))
    entry = by_path(read_catalog(tmp_path))[DONE]
    assert (entry.n_rows, entry.n_planned, entry.n_done, entry.reason) == (300, 256, 256, None)
    assert entry.contents == "1 of 2 partitions"


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        (StoredParts(), "all"),
        (StoredParts(layers=()), "no layers, all heads"),
        (StoredParts(heads=((0, 1),)), "1 head, all layers"),
        (StoredParts(layers=(0, 2), heads=()), "2 layers, no heads"),
        (StoredParts((0,), (), answers=False, partitions=(3, 4)), "1 layer, no heads, no answers, 2 of 9 partitions"),
    ],
)
def test_contents_in_words(contents, text):
    assert contents_text(contents, 9) == text


def _edit(path, **changes):
    edit_json(path, lambda value: value["attributes"]["vadprobe"].update(changes))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "no feature store at"),
        (lambda path: shutil.rmtree(path.parent), "no feature store at"),
        (lambda path: path.write_text("{"), "is not valid JSON"),
        (lambda path: path.write_text('{"attributes": {}}'), "it has no attribute 'vadprobe'"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "is not valid JSON"),
        (lambda path: _edit(path, digest="0" * 64), "the attributes were edited"),
        (lambda path: _edit(path, spec=[1]), "is not valid"),
        (lambda path: _edit(path, state="finished"), "state must be 'open' or 'committed', got 'finished'"),
        (lambda path: _edit(path, format_version=9), "update vadprobe"),
    ],
)
def test_a_store_that_cannot_be_read_is_an_entry_with_a_reason(root, damage, reason):
    damage(root / DONE / "zarr.json")
    found = by_path(read_catalog(root))
    assert found[DONE].state == "unreadable"
    assert reason in found[DONE].reason
    assert (found[DONE].n_bytes, found[DONE].digest) == (None, None)
    assert (found[OPEN].state, found[OTHER].state) == ("open", "committed")


def test_a_damaged_record_does_not_count(root):
    edit_json(records_of(root / DONE) / "000000.json", lambda record: record.update(failures={}))
    entry = by_path(read_catalog(root))[DONE]
    assert entry.n_done == 44
    assert entry.reason.startswith("a record: ")
    assert "000000.json was changed after it was written" in entry.reason


def test_a_committed_store_that_lacks_a_record_says_so(root):
    (records_of(root / DONE) / "000001.json").unlink()
    assert "committed, but 44 rows have no record" in by_path(read_catalog(root))[DONE].reason


def test_a_record_of_another_specification_does_not_count(root):
    shutil.copy(records_of(root / DONE) / "000001.json", records_of(root / OPEN) / "000001.json")
    entry = by_path(read_catalog(root))[OPEN]
    assert entry.n_done == 256
    assert "is that of another store" in entry.reason


def test_a_store_that_was_moved_says_so(root):
    for name in (DONE, DONE.replace(".zarr", ".records")):
        (root / name).rename(root / name.replace("question", "elsewhere"))
    entry = by_path(read_catalog(root))[DONE.replace("question", "elsewhere")]
    assert "was written as toys/segment-24-8/toy/question" in entry.reason


def test_what_lies_about_is_no_store(root):
    (root / "notes.txt").write_text("hello")
    (root / "toys" / ".hidden").mkdir()
    (root / "toys" / SAMPLING.key / "toy" / "README.md").write_text("hello")
    (root / "toys" / SAMPLING.key / "toy" / "my notes.zarr").mkdir()
    catalog = read_catalog(root)
    assert len(catalog.entries) == 3
    assert ["its name is not a key of a prompt" in note for note in catalog.notes] == [True]


def test_oddities_are_entries_or_notes(root):
    folder = (root / DONE).parent
    (folder / "link.zarr").symlink_to("/nowhere")
    (folder / "file.zarr").write_text("x")
    (folder / "v1.2.zarr" / "zarr.json").mkdir(parents=True)
    os.mkdir(os.fsencode(folder) + b"/\xff\xfe.zarr")  # noqa: PTH102
    (root / "toys" / "loop").symlink_to(root)
    catalog = read_catalog(root)
    odd = [entry for entry in catalog.entries if entry.prompt in ("link", "file", "v1.2")]
    assert [(entry.state, bool(entry.reason)) for entry in odd] == [("unreadable", True)] * 3
    assert (len(catalog.entries), len(catalog.notes)) == (6, 1)
    assert json.loads(catalog.save().read_text())["stores"]
    assert "## Not readable" in write_card(folder).read_text()


def test_leftovers_beside_a_store_are_named(root):
    folder = (root / DONE).parent
    (folder / ".question.verified").write_text("{}\n")
    (folder / "question.zarr.17.partial").mkdir()
    assert by_path(read_catalog(root))[DONE].leftovers == (".question.verified", "question.zarr.17.partial")


@pytest.mark.parametrize(
    ("below", "words"), [("", "holds no feature store yet"), ("nowhere", "there is no 'nowhere' in")]
)
def test_an_empty_and_a_missing_root(tmp_path, below, words):
    with pytest.raises(VadprobeError, match=words):
        read_catalog(tmp_path / below)


@pytest.mark.parametrize("below", ["toys", f"toys/{SAMPLING.key}", f"toys/{SAMPLING.key}/toy"])
def test_a_folder_below_the_root_names_the_root(whole, below):
    with pytest.raises(VadprobeError, match=rf"not a root of stores; use 'vadprobe ls {whole}'"):
        read_catalog(whole / below)


def test_a_folder_above_the_root_names_the_root(whole, tmp_path):
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "features").symlink_to(whole)
    with pytest.raises(VadprobeError, match=r"use 'vadprobe ls .*/above/features'"):
        read_catalog(tmp_path / "above")


def test_a_near_name_of_a_root_is_suggested(root):
    with pytest.raises(VadprobeError, match=r"Did you mean '.*/root'"):
        read_catalog(root.with_name("rooot"))


def test_the_saved_catalog_stands_in_for_a_listing(root):
    listed = read_catalog(root)
    assert listed.save() == root / CATALOG
    web = read_catalog(WebPath(root))
    assert web.entries == listed.entries
    assert read_catalog(root) == listed  # and it is in no one's way where folders can be listed


def test_a_place_without_listing_and_catalog_says_what_to_do(whole):
    with pytest.raises(VadprobeError, match="'vadprobe ls ROOT --save'"):
        read_catalog(WebPath(whole))


def test_the_saved_catalog_is_checked_against_the_stores(root):
    read_catalog(root).save()
    shutil.rmtree(root / OTHER)
    shutil.rmtree(root / DONE)
    shutil.rmtree(records_of(root / DONE))
    spec = planned_store(root, N_CLIPS, versions={"torch": "3.0"}).spec
    found = by_path(read_catalog(WebPath(root)))
    assert found[OTHER].state == "unreadable"
    assert found[OTHER].reason.startswith("catalog.json names it, but: no feature store")
    assert found[DONE].digest == spec.digest
    assert "it was replaced since" in found[DONE].reason
    assert found[OPEN].reason is None
    (note,) = read_catalog(root).notes
    assert note.startswith("catalog.json is out of date (2 another store now)")


@pytest.mark.parametrize("name", ["../toys", "..", "/etc", "a/b", "", ".hidden", "C:\\", 7, None])
def test_names_of_a_catalog_are_never_trusted_as_paths(root, name):
    read_catalog(root).save()
    edit_json(root / CATALOG, lambda value: value["stores"][0].update(dataset=name, path="../../etc/passwd"))
    catalog = read_catalog(WebPath(root))
    assert [entry.relative_path for entry in catalog.entries] == [OPEN, DONE]
    assert any("is left out" in note for note in catalog.notes)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "is not a catalog"),
        ('{"vadprobe_catalog": 1}', "is not a catalog"),
        ('{"vadprobe_catalog": 2, "stores": []}', "update vadprobe"),
        ("{", "is not valid JSON"),
    ],
)
def test_a_file_that_is_no_catalog(root, content, words):
    (root / CATALOG).write_text(content)
    with pytest.raises(StoreError, match=words):
        read_catalog(WebPath(root))
    catalog = read_catalog(root)  # it is a note where folders can be listed
    assert len(catalog.entries) == 3
    assert words in catalog.notes[0]


def test_the_catalog_file_names_paths_below_the_root(root):
    (root / OPEN / "zarr.json").write_text("{")
    edit_json(records_of(root / DONE) / "000000.json", lambda record: record.update(failures={}))
    read_catalog(root).save()
    content = json.loads((root / CATALOG).read_text())
    assert [store["path"] for store in content["stores"]] == [OTHER, OPEN, DONE]
    assert str(root) not in (root / CATALOG).read_text()


def test_a_store_without_any_partition(tmp_path):
    planned_store(tmp_path, N_CLIPS)
    (entry,) = read_catalog(tmp_path).entries
    assert (entry.state, entry.n_done, entry.n_failed) == ("open", 0, 0)
    assert "0 of 300 | 0 | open" in store_card(tmp_path / Path(OPEN).parent)
