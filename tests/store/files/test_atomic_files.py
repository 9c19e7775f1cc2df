"""Files that survive a crash."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given

from tests.support.builders import tree
from tests.support.strategies import JSON_VALUES, MODERATE
from vadprobe.store.errors import StoreError
from vadprobe.store.files import atomic_files
from vadprobe.store.files.atomic_files import read_json, sync, write_json


@MODERATE
@given(JSON_VALUES)
def test_json_comes_back(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "durable" / "value.json"
    write_json(path, value)
    assert read_json(path) == json.loads(path.read_text(encoding="utf-8")) == value
    assert [file.name for file in path.parent.iterdir()] == ["value.json"]


def test_equal_values_have_equal_bytes(tmp_path):
    write_json(tmp_path / "one.json", {"a": 1, "b": {"c": 2, "d": 3}})
    write_json(tmp_path / "other.json", {"b": {"d": 3, "c": 2}, "a": 1})
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()


def test_data_is_on_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace

    def spied_fsync(descriptor):
        target = Path("/proc/self/fd", str(descriptor)).readlink()
        steps.append(("sync", target.relative_to(tmp_path).as_posix(), target.stat().st_size > 0))
        fsync(descriptor)

    def spied_replace(source, target):
        steps.append(("rename", Path(target).relative_to(tmp_path).as_posix(), True))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(os, "replace", spied_replace)
    write_json(tmp_path / "record.json", {"rows": [0, 256]})
    assert [step[0] for step in steps] == ["sync", "rename", "sync"]
    assert steps[0][1].endswith(".partial")
    assert steps[1][1] == "record.json"
    assert steps[2][1] == "."
    assert all(step[2] for step in steps)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_is_cut_off_leaves_the_old_value(tmp_path, monkeypatch, step):
    write_json(tmp_path / "record.json", {"old": True})

    def cut(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic_files.os, step, cut)
    with pytest.raises(KeyboardInterrupt):
        write_json(tmp_path / "record.json", {"old": False})
    assert read_json(tmp_path / "record.json") == {"old": True}


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": object()}])
def test_a_value_outside_json_leaves_nothing(tmp_path, value):
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "record.json", value)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("content", [b"", b'{"rows": [0, 25', b"\xff{}", b'{"a": 1} {"b": 2}'])
def test_damaged_json_is_refused_by_name(tmp_path, content):
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(StoreError, match=rf"{tmp_path}/record.json is not valid JSON .*damaged"):
        read_json(tmp_path / "record.json")


def test_a_missing_file_stays_a_missing_file(tmp_path):
    for read in (read_json, sync):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "record.json")


def test_files_and_folders_can_be_synced(tmp_path):
    (tmp_path / "shard").write_bytes(b"bytes")
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    sync(tmp_path / "shard")
    sync(tmp_path)
    assert len(list(descriptors.iterdir())) == before
