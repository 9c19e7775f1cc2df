"""Copies in larger partitions hold the same values and are stores like any other."""

import numpy as np
import pytest

from tests.store.verification.damage import flip
from tests.support.builders import BACKBONE, committed_store, planned_store, tree
from vadprobe.flows.command_line import main
from vadprobe.store.catalog.comparison import compare
from vadprobe.store.errors import StoreError
from vadprobe.store.exchange.compaction import compact
from vadprobe.store.exchange.transfer import Choice, transfer
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.repair import apply, plan_repair
from vadprobe.store.verification.verify import verify

N_CLIPS = 1100  # five partitions of 256
FAILURES = {3: "damaged", **dict.fromkeys(range(256, 512), "no such file"), 1099: "cut"}


@pytest.fixture(scope="module", params=["bfloat16", "float16"])
def source(request, tmp_path_factory):
    writer = committed_store(tmp_path_factory.mktemp("source"), N_CLIPS, request.param, FAILURES)
    return FeatureStore.open(writer.path)


def same(first, second):
    np.testing.assert_array_equal(first.view(np.uint8), second.view(np.uint8))


@pytest.mark.parametrize("rows", [100, 512, 1000, 5000])
def test_all_values_are_there_whatever_the_partitions(source, tmp_path, rows):
    done = compact(source, tmp_path, Choice(), rows)
    assert done.writer.n_partitions == -(-N_CLIPS // rows)
    copy = FeatureStore.open(done.writer.path)
    every = np.arange(N_CLIPS)
    same(copy.hidden_states(every, range(3)), source.hidden_states(every, range(3)))
    same(copy.blocks(every, [0, 1]), source.blocks(every, [0, 1]))
    same(copy.answer_logits(every), source.answer_logits(every))
    some = np.array([1099, 3, 700, 256, 700])
    same(copy.head_outputs(some, [(1, 2)]), source.head_outputs(some, [(1, 2)]))
    assert copy.failures == FAILURES
    assert verify(copy.path, workers=2 if rows == 512 else 1).problems == ()
    assert compact(source, tmp_path, Choice(), rows).n_copied == 0


def test_chosen_heads(source, tmp_path):
    done = compact(source, tmp_path, Choice(heads=((1, 2), (0, 0))), 600)
    copy = FeatureStore.open(done.writer.path)
    assert copy.contents == StoredParts.of(BACKBONE, N_CLIPS, [], [(0, 0), (1, 2)], partition_rows=600)
    every = np.arange(N_CLIPS)
    same(copy.head_outputs(every, [(0, 0), (1, 2)]), source.head_outputs(every, [(0, 0), (1, 2)]))
    with pytest.raises(StoreError, match=r"head 0:1 is not stored in partition 0"):
        copy.head_outputs(every, [(0, 1)])
    assert verify(copy.path).problems == ()


def test_a_damaged_copy_is_redone(source, tmp_path):
    done = compact(source, tmp_path, Choice(), 600)
    before = tree(tmp_path)
    flip(shard_path(done.writer.path, done.writer.contents.arrays(source.spec)[1], 1), 100, 4)
    found = verify(done.writer.path)
    assert found.redo == (1,)
    apply(plan_repair(found))
    assert compact(source, tmp_path, Choice(), 600).n_copied == 1
    assert verify(done.writer.path).problems == ()
    assert tree(tmp_path) == before


def test_a_copy_can_be_pulled_from(source, tmp_path):
    copy = FeatureStore.open(compact(source, tmp_path / "a", Choice(), 600).writer.path)
    part = FeatureStore.open(transfer(copy, tmp_path / "b", Choice(layers=(1,), videos=("video 9",))).writer.path)
    assert part.partitions == (1,)
    same(part.hidden_states(np.arange(900, 1000), [1]), source.hidden_states(np.arange(900, 1000), [1]))
    assert verify(part.path).problems == ()
    found = compare(source.path, copy.path, values=True)
    assert found.verdict == 1
    assert "B holds partitions of 600 rows" in found.contents[0]


def test_a_copy_is_exported_as_the_source_is(source, tmp_path):
    copy = compact(source, tmp_path / "a", Choice(), 600).writer.path
    for path, name in ((copy, "copy"), (source.path, "whole")):
        assert main(["export", str(path), str(tmp_path / name), "--format", "npy"]) == 0
    files = [file.relative_to(tmp_path / "whole") for file in (tmp_path / "whole").rglob("*.npy")]
    assert len(files) == 3 * 11
    for file in files:
        assert (tmp_path / "copy" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_what_cannot_be_compacted(source, tmp_path):
    with pytest.raises(StoreError, match="is the store itself"):
        compact(source, source.path.parents[3], Choice(), 512)
    part = FeatureStore.open(transfer(source, tmp_path / "part", Choice(videos=("video 0",))).writer.path)
    with pytest.raises(StoreError, match="only all rows of a store can be compacted"):
        compact(part, tmp_path / "copy", Choice(), 512)
    with pytest.raises(StoreError, match="is not finished: 0 of 5 partitions"):
        compact(FeatureStore.open(planned_store(tmp_path / "open", N_CLIPS).path), tmp_path / "copy", Choice(), 512)
    assert not (tmp_path / "copy").exists()
    compact(source, tmp_path / "copy", Choice(), 512)
    with pytest.raises(StoreError, match=r"contents.partition_rows: 512, not 600"):
        compact(source, tmp_path / "copy", Choice(), 600)


def test_the_command(source, tmp_path, capsys):
    root = source.path.parents[3]
    assert main(["compact", str(root), str(tmp_path), "--heads", "1:2", "--rows", "1000"]) == 0
    assert "2 of 2 partitions copied; 1,100 rows" in capsys.readouterr().out
    assert main(["ls", str(tmp_path)]) == 0
    assert "1 head, partitions of 1,000 rows" in capsys.readouterr().out
    assert main(["compact", str(root), str(tmp_path), "--rows", "0"]) == 2
    assert "--rows must be a whole number from 1, got 0" in capsys.readouterr().err
