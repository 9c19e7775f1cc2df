"""Parts of stores copied between roots: bytes as they are, each checked, resumable."""

import json

import numpy as np
import pytest

from tests.store.verification.damage import flip
from tests.support.builders import BACKBONE, all_features, committed_store, features, planned_store, tree, write_missing
from vadprobe.flows.command_line import main
from vadprobe.store.datasets.probed_videos import VideoFacts, read_video_facts, write_video_facts
from vadprobe.store.errors import StoreError
from vadprobe.store.exchange.compaction import compact
from vadprobe.store.exchange.transfer import Choice, transfer
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.schema import feature_arrays
from vadprobe.store.format.stored_parts import EVERYTHING, StoredParts
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing import disk_space

N_CLIPS = 600
FAILURES = {3: "damaged", **dict.fromkeys(range(512, 600), "no such file")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("source")
    writer = committed_store(root, N_CLIPS, failures=FAILURES)
    splits = ("train", "train", "train", "validation", "test", "test")
    probes = [VideoFacts(f"video {n}", split, 2399, 25.0, f"{n:064x}") for n, split in enumerate(splits)]
    write_video_facts(probes, root / "toys" / "videos.parquet")
    return FeatureStore.open(writer.path)


def relative(store, root):
    return root / store.path.relative_to(store.path.parents[3])


def test_a_whole_copy_has_the_same_bytes(whole, tmp_path):
    done = transfer(whole, tmp_path, Choice())
    assert (done.n_copied, done.n_before, done.unwritten) == (3, 0, ())
    assert done.writer.contents == EVERYTHING
    assert tree(tmp_path / "toys") == tree(whole.path.parents[2])
    assert verify(relative(whole, tmp_path)).problems == ()
    again = transfer(whole, tmp_path, Choice())
    assert (again.n_copied, again.n_before, again.n_bytes) == (0, 3, 0)


def test_a_part_holds_what_was_asked_for_and_says_so(whole, tmp_path):
    seen = []
    choice = Choice(heads=((1, 2), (0, 0)), splits=("test",))
    done = transfer(whole, tmp_path, choice, lambda *counts: seen.append(counts))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    part = FeatureStore.open(relative(whole, tmp_path))
    assert part.contents == StoredParts.of(BACKBONE, N_CLIPS, [], [(0, 0), (1, 2)], partitions=[1, 2])
    assert part.spec == whole.spec
    assert part.failures == {row: reason for row, reason in FAILURES.items() if row >= 256}
    rows = np.arange(256, 600)
    wanted = all_features(whole.spec, "head_outputs", FAILURES)[rows][:, [1, 0], [2, 0]]
    np.testing.assert_array_equal(part.head_outputs(rows, [(1, 2), (0, 0)]), wanted)
    assert verify(part.path).problems == ()
    shards = {array.name: shard_path(part.path, array, 1) for array in feature_arrays(BACKBONE, N_CLIPS)}
    assert done.n_bytes == sum(path.stat().st_size for path in shards.values() if path.exists())  # partition 2 failed
    assert not shards["hidden_states"].exists()
    with pytest.raises(StoreError, match="are not in this part of the store"):
        part.head_outputs(np.array([0]), [(0, 0)])
    assert len(read_video_facts(tmp_path / "toys" / "videos.parquet")) == 6


def test_a_part_of_a_part(whole, tmp_path):
    transfer(whole, tmp_path / "one", Choice(heads=((1, 2), (0, 0)), layers=(2,)))
    one = FeatureStore.open(relative(whole, tmp_path / "one"))
    transfer(one, tmp_path / "two", Choice(heads=((1, 2),), videos=("video 0",)))
    two = FeatureStore.open(relative(whole, tmp_path / "two"))
    assert two.partitions == (0,)
    np.testing.assert_array_equal(two.head_outputs(np.arange(9), [(1, 2)]), whole.head_outputs(np.arange(9), [(1, 2)]))
    with pytest.raises(StoreError, match=r"layer 0 is not stored in partition 0; it holds layer 2 and heads 0:0, 1:2"):
        transfer(one, tmp_path / "three", Choice(layers=(0,)))
    with pytest.raises(StoreError, match=r"partition 1 is not in it; it holds head 1:2 and no layers, in partitions 0"):
        transfer(two, tmp_path / "three", Choice(videos=("video 3",)))
    assert not (tmp_path / "three").exists()


def test_an_interrupted_copy_goes_on(whole, tmp_path):
    def stop(done, total):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer(whole, tmp_path, Choice(layers=(1,)), stop)
    done = transfer(whole, tmp_path, Choice(layers=(1,)))
    assert (done.n_before, done.n_copied) == (1, 2)
    assert verify(done.writer.path).problems == ()


def test_a_damaged_chunk_is_not_passed_on(whole, tmp_path):
    transfer(whole, tmp_path / "own", Choice())
    own = FeatureStore.open(relative(whole, tmp_path / "own"))
    array = feature_arrays(BACKBONE, N_CLIPS)[1]
    flip(shard_path(own.path, array, 1), 30)
    with pytest.raises(StoreError, match=r"partition 1.*chunk \(0, 0, 0, 0\): its checksum does not agree"):
        transfer(own, tmp_path / "copy", Choice(heads=((0, 0),)))
    assert len(list(records_of(relative(whole, tmp_path / "copy")).iterdir())) == 1
    assert transfer(own, tmp_path / "other", Choice(heads=((1, 0),))).unwritten == ()


def test_an_unfinished_store_is_copied_as_far_as_it_is(tmp_path):
    writer = planned_store(tmp_path / "source", N_CLIPS)
    writer.write_partition(1, features(writer.spec, 1))
    done = transfer(FeatureStore.open(writer.path), tmp_path / "copy", Choice())
    assert (done.n_copied, done.unwritten) == (1, (0, 2))
    copy = FeatureStore.open(done.writer.path)
    assert copy.written.sum() == 256
    assert write_missing(writer) == [0, 2]
    assert transfer(FeatureStore.open(writer.path), tmp_path / "copy", Choice()).unwritten == ()
    assert verify(done.writer.path).problems == ()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(videos=("video 9",)), r"has no video 'video 9'; it has 6, for example 'video 0'"),
        (Choice(layers=(7,)), "layer 7 does not exist"),
        (Choice(splits=("test",), videos=("video 0",)), "no clip of the chosen videos is in it"),
    ],
)
def test_what_is_not_there_is_said_before_anything_is_written(whole, tmp_path, choice, message):
    with pytest.raises(Exception, match=message):
        transfer(whole, tmp_path, choice)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_on_the_disk_is_refused_before_anything_is_written(whole, tmp_path, monkeypatch):
    usage = disk_space.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    for copy in (lambda: transfer(whole, tmp_path, Choice()), lambda: compact(whole, tmp_path, Choice(), 512)):
        with pytest.raises(StoreError, match="are free at"):
            copy()
    assert list(tmp_path.iterdir()) == []


def test_the_command(whole, tmp_path, capsys):
    source = whole.path.parents[3]
    assert main(["pull", str(source), str(tmp_path / "a"), "--heads", "1:2,0:0", "--splits", "test"]) == 0
    out = capsys.readouterr().out
    assert "2 of 2 partitions copied; 344 rows" in out
    assert "It holds heads 0:0, 1:2 and no layers, in partitions 1-2 alone." in out
    assert main(["push", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    names = tmp_path / "names.txt"
    names.write_text("video 0\n\nvideo 5\n")
    assert main(["pull", str(source), str(tmp_path / "c"), "--videos", f"@{names}", "--layers", "0"]) == 0
    assert list(FeatureStore.open(relative(whole, tmp_path / "c")).partitions) == [0, 1, 2]  # 500-599 is in two


def test_the_layers_of_a_detector(whole, tmp_path, capsys):
    detector = tmp_path / "detector.json"
    content = {
        "selection": {"unit": "head", "indices": [[1, 2], [0, 1]]},
        "features": {"prompt": {"key": "another", "text": whole.spec.prompt.text}},
    }
    detector.write_text(json.dumps(content))
    assert main(["pull", str(whole.path), str(tmp_path / "a"), "--detector", str(detector)]) == 0
    assert FeatureStore.open(relative(whole, tmp_path / "a")).contents.heads == ((0, 1), (1, 2))
    content["features"]["prompt"]["text"] = "Something else?"
    detector.write_text(json.dumps(content))
    assert main(["pull", str(whole.path), str(tmp_path / "b"), "--detector", str(detector)]) == 2
    assert "has the wanted prompt; its stores have the prompts question" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--heads", "3"], "--heads must be heads as block:head, for example 14:3,20:7, got '3'"),
        (["--detector", "nothing.json"], "there is no detector nothing.json"),
        (["--videos", "@nothing.txt"], "nothing.txt cannot be read"),
        (["--prompts", "other"], "its stores have the prompts question"),
    ],
)
def test_wrong_arguments_are_sentences(whole, tmp_path, capsys, arguments, message):
    assert main(["pull", str(whole.path), str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
