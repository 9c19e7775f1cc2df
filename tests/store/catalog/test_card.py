"""The store card: what it says, that its instructions work, and when it is written."""

import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import builders
from tests.support.builders import BACKBONE, PROMPT, committed_store, edit_json, planned_store, tree, write_missing
from vadprobe.store.catalog.store_card import CARD, store_card, write_card
from vadprobe.store.errors import StoreError
from vadprobe.store.files import locks
from vadprobe.store.files.locks import sole_planner
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify

N_CLIPS = 300
FAILURES = {7: "the video ended | early\nhere", 8: "the video ended | early\nhere"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a backbone with one committed store."""
    return committed_store(tmp_path_factory.mktemp("whole"), N_CLIPS, failures=FAILURES).path.parent


@pytest.fixture
def folder(tmp_path, whole):
    """A copy of it, with the clip table, that a test may change."""
    shutil.copytree(whole.parents[1], tmp_path / "toys")
    return tmp_path / "toys" / whole.parent.name / whole.name


def add_store(folder, key):
    writer = planned_store(folder.parents[2], N_CLIPS, prompt=Prompt(key, PROMPT.text))
    write_missing(writer)
    return writer


def test_the_card_says_what_the_stores_are(whole):
    card = store_card(whole)
    spec = builders.feature_spec(builders.clip_table(N_CLIPS))
    for words in (
        "# Feature stores: toy on toys",
        "300 clips of 3 videos",
        f"`{spec.digest}`",
        f"`{spec.clips_digest}`",
        "example/toy",
        "`0123456789abcdef`",
        "torch 2.13.0",
        PROMPT.text,
        "300 of 300 | 2 | committed",
        "300 × 2 × 3 × 4",
        "vadprobe verify question.zarr",
    ):
        assert words in card


def test_random_weights_are_not_overlooked(whole, tmp_path):
    card = store_card(planned_store(tmp_path, N_CLIPS, recipe={"random_weights": True}).path.parent)
    assert "**toy has random weights: the numbers say nothing about the method or any real camera.**" in card
    assert "0 of 300 | 0 | open" in card
    assert "| unknown |" in card
    assert "random" not in store_card(whole)


def test_every_table_row_has_as_many_cells_as_its_head(whole):
    tables = re.findall(r"(?:^\|.*\n)+", store_card(whole), flags=re.MULTILINE)
    assert len(tables) == 3
    for table in tables:
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(cells) == 1
    assert "the video ended | early here" in store_card(whole)


def test_the_python_of_the_card_runs(whole):
    """In a process of its own, from the folder of the card, as the card says."""
    pytest.importorskip("xarray")
    blocks = re.findall(r"```python\n(.*?)```", store_card(whole), flags=re.DOTALL)
    assert len(blocks) == 2
    check = "\nassert one_head.shape == (300, 4) and clips.num_rows == 300 and values.shape == (10, 1, 4)"
    check += "\nassert everything.head_outputs.dims == ('clip', 'block', 'head', 'head_dim')"
    code = "\n".join(blocks) + check
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=whole, check=True, capture_output=True, env=environment)


@pytest.mark.parametrize("name", ["question.zarr", "./question.zarr", "../toy/question.zarr", "inner/../question.zarr"])
def test_a_store_is_read_from_its_own_folder(folder, monkeypatch, name):
    """The commands of the card are given there."""
    (folder / "inner").mkdir()
    monkeypatch.chdir(folder)
    assert len(FeatureStore.open(Path(name)).clips) == N_CLIPS
    monkeypatch.chdir("inner")
    assert len(FeatureStore.open(Path("../question.zarr")).clips) == N_CLIPS


def test_the_card_is_no_stray_file(folder):
    before = tree(folder.parent)
    path = write_card(folder)
    assert path == folder / CARD
    assert not verify(folder / "question.zarr").problems
    after = tree(folder.parent)
    assert after.keys() - before.keys() == {f"{folder.name}/{CARD}"}
    assert {name: after[name] for name in before} == before


def test_equal_stores_have_equal_cards(folder, tmp_path):
    other = committed_store(tmp_path / "other", N_CLIPS, failures=FAILURES).path.parent
    first, second = write_card(folder), write_card(other)
    assert first.read_bytes() == second.read_bytes()


def test_a_card_covers_every_prompt_and_is_written_anew(folder):
    first = write_card(folder).read_text()
    writer = add_store(folder, "coarse")
    assert "| `coarse.zarr` | 300 of 300 | 0 | open |" in write_card(folder).read_text()
    writer.commit()
    second = write_card(folder).read_text()
    assert "| `coarse.zarr` | 300 of 300 | 0 | committed |" in second
    assert "`coarse.zarr`" not in first
    assert second.count("## Arrays") == 1


def test_nothing_is_written_if_nothing_changed_or_the_text_is_the_users_own(folder):
    path = write_card(folder)
    before = path.stat()
    assert write_card(folder) == path
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    (folder / CARD).write_text("# Ours\n")
    assert write_card(folder) is None
    assert (folder / CARD).read_text() == "# Ours\n"


def test_a_store_that_cannot_be_read_is_named(folder):
    add_store(folder, "coarse").commit()
    (folder / "coarse.zarr" / "zarr.json").write_text("{")
    card = store_card(folder)
    assert "## Not readable" in card
    assert "- `coarse.zarr`: coarse.zarr/zarr.json is not valid JSON" in card
    assert "300 of 300 | 2 | committed" in card
    assert str(folder) not in card


def test_a_folder_without_stores_has_no_card(tmp_path):
    with pytest.raises(StoreError, match="there is no feature store in"):
        write_card(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_card_without_clip_table_leaves_the_videos_out(folder):
    (folder.parent / "clips.parquet").unlink()
    assert "for 300 clips. " in store_card(folder)


def test_stores_of_two_backbones_in_one_folder_are_told_apart(folder):
    other = planned_store(folder.parents[3] / "elsewhere", N_CLIPS, backbone=replace(BACKBONE, key="other"))
    shutil.copytree(other.path, folder / "copied.zarr")
    card = store_card(folder)
    assert "# Feature stores: toy on toys" in card
    assert "# Feature stores: other on toys" in card


def test_the_clip_table_is_read_once_for_all_prompts(folder, monkeypatch):
    """Reading that of a large dataset takes seconds."""
    for key in ("coarse", "detailed"):
        add_store(folder, key).commit()
    read, calls = ClipTable.read, []
    monkeypatch.setattr(ClipTable, "read", lambda path: calls.append(path) or read(path))
    assert store_card(folder).count("300 of 300") == 3
    assert len(calls) == 1


def test_a_card_waits_for_a_commit_that_is_under_way(folder, monkeypatch):
    """Else a worker that looked before another one's commit would write its older card after the newer one."""
    refused, lock = threading.Event(), locks.lock

    def spied(path):
        got = lock(path)
        if got is None:
            refused.set()
        return got

    with sole_planner(folder):
        monkeypatch.setattr(locks, "lock", spied)
        thread = threading.Thread(target=write_card, args=(folder,))
        thread.start()
        assert refused.wait(300)  # it waits for us, and whatever it has to read, it reads when we are done
        assert not (folder / CARD).exists()
        edit_json(folder / "question.zarr" / "zarr.json", lambda v: v["attributes"]["vadprobe"].update(state="open"))
    thread.join()
    assert "| 300 of 300 | 2 | open |" in (folder / CARD).read_text()


def test_workers_that_commit_at_once_leave_one_whole_card(folder):
    write = "from vadprobe.store.catalog.store_card import write_card; write_card(argument)"
    assert builders.run_together(4, write, Path(folder), repeats=5) == []
    assert (folder / CARD).read_text() == store_card(folder)
    assert not list(folder.glob("*.partial"))
