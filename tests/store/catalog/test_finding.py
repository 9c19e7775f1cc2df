"""Stores below a folder: at any depth, through links, and none that is only a part or a copy in the making."""

import pytest

from vadprobe.store.catalog.finding import FoundStore, list_stores, names_in, stores_below
from vadprobe.store.errors import VadprobeError


def make(folder, *names):
    for name in names:
        (folder / name).mkdir(parents=True)


def test_stores_are_found_at_any_depth_by_group_or_records(tmp_path):
    make(tmp_path, "a.zarr", "b/c/d/e/f/g.records", "b/h.zarr/inner.zarr", "b/h.records", "i.zarr.7.partial/j.zarr")
    assert stores_below(tmp_path) == [tmp_path / name for name in ("a.zarr", "b/c/d/e/f/g.zarr", "b/h.zarr")]
    assert [store.path.name for store in list_stores(tmp_path, depth=1).stores] == ["a.zarr", "h.zarr"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    make(tmp_path, "disk/toys/a.zarr", "root")
    (tmp_path / "root" / "toys").symlink_to(tmp_path / "disk" / "toys")
    (tmp_path / "disk" / "toys" / "again").symlink_to(tmp_path / "disk")
    assert stores_below(tmp_path / "root") == [tmp_path / "root/toys/a.zarr"]


def test_leftovers_are_those_of_the_store(tmp_path):
    make(tmp_path, "a.zarr", "a.zarr.7.partial", "b.zarr")
    (tmp_path / ".a.verified").touch()
    found = [FoundStore(tmp_path / "a.zarr", (".a.verified", "a.zarr.7.partial")), FoundStore(tmp_path / "b.zarr")]
    assert list_stores(tmp_path).stores == tuple(found)


def test_nothing_is_a_sentence_or_empty(tmp_path):
    with pytest.raises(VadprobeError, match="no feature store below"):
        stores_below(tmp_path / "nowhere")
    assert (names_in(tmp_path), names_in(tmp_path / "nowhere")) == ([], [])
