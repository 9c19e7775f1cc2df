"""Stores on an S3 server and on a web server: the same values, and faults that are mended or named."""

import os
import threading
import uuid
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.builders import (
    BACKBONE,
    all_features,
    clip_table,
    committed_store,
    feature_spec,
    features,
    store_path,
)
from tests.support.processes.remote_servers import Faults, bucket_at_hand, web_server
from tests.support.processes.waiting import PATIENCE
from tests.support.profiles import some

pytest.importorskip("obstore", reason="the package for URLs is not installed")
pytest.importorskip("moto", reason="the S3 server of the tests is not installed")

from obstore.store import from_url

from vadprobe.flows.command_line import main
from vadprobe.store.claims.claim import ClaimLostError
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.datasets.probed_videos import VideoFacts, write_video_facts
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.exchange.transfer import Choice, transfer
from vadprobe.store.files import object_store
from vadprobe.store.files.location import location
from vadprobe.store.files.object_store import NoListingError
from vadprobe.store.files.remote_path import RemotePath
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.schema import feature_arrays
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.repair import apply, plan_repair
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing.writer import plan

N_CLIPS = 600
FAILURES = {3: "damaged", **dict.fromkeys(range(512, 600), "no such file")}
FAULTS = Faults()
SECRET = "do-not-tell-0123456789"


def impatient(url, *, retry_config, **options):
    """Open a bucket or host whose requests are repeated at once; the product waits ever longer between repeats."""
    brief = dict.fromkeys(("init_backoff", "max_backoff"), timedelta(milliseconds=1))
    return from_url(url, retry_config={**retry_config, "backoff": brief}, **options)


@pytest.fixture(scope="module")
def bucket():
    """The URL of an empty bucket; credentials in the environment, as everywhere."""
    with bucket_at_hand(FAULTS, SECRET) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_store, "RETRIES", 1)
        patch.setattr("obstore.store.from_url", impatient)
        patch.setattr(object_store, "time", SimpleNamespace(sleep=lambda seconds: None))
        yield url


@pytest.fixture
def root(bucket):
    """An unused place in the bucket."""
    FAULTS.reset()
    return location(f"{bucket}/{uuid.uuid4().hex}")


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A finished store in a folder."""
    folder = tmp_path_factory.mktemp("local")
    writer = committed_store(folder, N_CLIPS, failures=FAILURES)
    videos = [VideoFacts(f"video {n}", "test", 2399, 25.0, f"{n:064x}") for n in range(6)]
    write_video_facts(videos, folder / "toys" / "videos.parquet")
    return FeatureStore.open(writer.path)


@pytest.fixture(scope="module")
def pushed(bucket, local):
    """The same store in the bucket; not changed by any test."""
    FAULTS.reset()
    return transfer(local, location(f"{bucket}/pushed"), Choice()).writer.path


@pytest.fixture(scope="module")
def served(local):
    """The same store on a web server."""
    with web_server(local.path.parents[3], FAULTS) as url:
        yield location(url) / str(local.path.relative_to(local.path.parents[3]))
        object_store.connection.cache_clear()


def written(root, commit=True):
    clips = clip_table(N_CLIPS)
    spec = feature_spec(clips)
    writer = plan(store_path(root, spec), spec, clips)
    for partition in writer.missing():
        writer.write_partition(partition, features(spec, partition, FAILURES))
    if commit:
        writer.commit()
    return writer


def downloaded(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")}


PATTERNS = {
    "all heads of scattered rows": (np.array([599, 3, 300, 7, 256, 3]), None),
    "one head of all rows": (np.arange(N_CLIPS), [(1, 2)]),
    "five heads of all rows": (np.arange(N_CLIPS), [(1, 2), (0, 0), (0, 1), (1, 0), (1, 1)]),
    "one video": (np.arange(200, 300), None),
}


def read(store, pattern):
    rows, heads = PATTERNS[pattern]
    return store.blocks(rows, [0, 1]) if heads is None else store.head_outputs(rows, heads)


# Reading


@pytest.mark.parametrize("place", ["pushed", "served"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_has_the_bits_of_the_folder(request, local, place, pattern):
    store = FeatureStore.open(request.getfixturevalue(place))
    np.testing.assert_array_equal(read(store, pattern).view(np.uint32), read(local, pattern).view(np.uint32))
    rows = np.arange(N_CLIPS)
    np.testing.assert_array_equal(store.hidden_states(rows, [2, 0]), local.hidden_states(rows, [2, 0]))
    np.testing.assert_array_equal(store.answer_logits(rows), local.answer_logits(rows))
    assert store.failures == FAILURES
    assert store.written.sum() == N_CLIPS - len(FAILURES)


@pytest.mark.parametrize("place", ["pushed", "served"])
def test_requests_of_a_column_read(request, place):
    """For each shard one request for size and index together, and one for neighbouring chunks."""
    store = FeatureStore.open(request.getfixturevalue(place))
    assert len(store.records) == 3
    FAULTS.reset()
    read(store, "five heads of all rows")
    assert FAULTS.count("head_outputs") == 1 + 2 * 2 + 1  # metadata; that the third has none
    assert all(word for _, path, word in FAULTS.requests if "/c/" in path and "/c/2" not in path)


def test_far_chunks_are_requested_apart_and_at_once(pushed, monkeypatch):
    from vadprobe.store.reading.byte_sources import RemoteObjects

    monkeypatch.setattr(RemoteObjects, "gap_bytes", 0)
    store = FeatureStore.open(pushed)
    _ = store.records
    FAULTS.reset()
    store.head_outputs(np.arange(256), [(0, 0), (1, 2)])
    assert FAULTS.count("head_outputs/c/0") == 3


@pytest.mark.parametrize("place", ["pushed", "served"])
@pytest.mark.parametrize("fault", ["503", "cut", "slow"])
def test_what_passes_is_repeated(request, local, place, fault):
    path = request.getfixturevalue(place)
    FAULTS.reset()
    FAULTS.rule = lambda method, path, number: fault if method == "GET" and number == 1 else None
    store = FeatureStore.open(path)
    np.testing.assert_array_equal(read(store, "five heads of all rows"), read(local, "five heads of all rows"))
    assert FAULTS.n_faults >= 8


@pytest.mark.parametrize("place", ["pushed", "served"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("503", r"partition 1: .*head_outputs/c/1.*cannot be reached"),
        ("cut", r"partition 1: .*head_outputs/c/1.*cannot be reached"),
        ("short", r"partition 1: .*head_outputs/c/1.*bytes came back instead of"),
        ("lost", r"head_outputs/c/1/0/0/0 is missing: 0 bytes, its record says \d+ \(partition 1\)"),
        ("forbidden", r"head_outputs/c/1.*partition 1.*cannot be reached with the credentials of the environment"),
    ],
)
def test_what_does_not_pass_is_named_and_nothing_is_returned(request, monkeypatch, place, fault, message):
    monkeypatch.setattr(object_store, "ATTEMPTS", 1)
    store = FeatureStore.open(request.getfixturevalue(place))
    _ = store.records
    FAULTS.reset()
    FAULTS.rule = lambda method, path, number: fault if "head_outputs/c/1" in path else None
    with pytest.raises(StoreError, match=message) as caught:
        read(store, "one head of all rows")
    assert SECRET not in str(caught.value)
    FAULTS.reset()
    assert read(store, "one head of all rows").shape == (N_CLIPS, 1, 4)


def test_a_lost_record_is_a_partition_that_is_not_written(pushed):
    FAULTS.reset()
    FAULTS.rule = lambda method, path, number: "lost" if "000001.json" in path else None
    with pytest.raises(StoreError, match=r"rows 256 to 511 \(partition 1\) are not written yet"):
        read(FeatureStore.open(pushed), "one head of all rows")


def test_what_is_not_there(root, served):
    with pytest.raises(StoreError, match=r"no feature store at s3://features/.*question.zarr"):
        FeatureStore.open(root / "question.zarr")
    with pytest.raises(StoreError, match=r"no feature store at http://"):
        FeatureStore.open(served.with_name("other.zarr"))


# Writing


def test_a_store_written_there_is_the_one_of_a_folder(root, local, tmp_path):
    writer = written(root)
    own = written(tmp_path)
    found = downloaded(root / "toys")
    wanted = {str(path.relative_to(tmp_path / "toys")): path.read_bytes()
              for path in (tmp_path / "toys").rglob("*") if path.is_file() and path.name != ".planning"}  # fmt: skip
    assert found == wanted
    assert writer.missing() == own.missing() == []
    assert verify(writer.path).problems == ()
    assert verify(writer.path, workers=2).problems == ()


def test_it_is_planned_once_and_another_is_refused(root):
    writer = written(root, commit=False)
    before = downloaded(root)
    assert written(root, commit=False).missing() == []
    clips = clip_table(N_CLIPS)
    spec = feature_spec(clips, recipe={"other": 1})
    with pytest.raises(StoreError, match=r"already holds a store of another specification: recipe\.answer_ids"):
        plan(store_path(root, spec), spec, clips)
    other = clip_table(20)
    with pytest.raises(StoreError, match="holds another clip table"):
        plan(store_path(root, feature_spec(other)), feature_spec(other), other)
    assert downloaded(root) == before
    assert FeatureStore.open(writer.path).spec.digest == feature_spec(clips).digest


def test_a_plan_that_was_killed_is_finished_by_the_next(root):
    whole = downloaded(written(root / "whole", commit=False).path)
    clips = clip_table(N_CLIPS)
    spec = feature_spec(clips)
    puts = 0

    def stop(method, path, number):
        nonlocal puts
        puts += method == "PUT"
        return "forbidden" if method == "PUT" and puts > 5 else None

    FAULTS.rule = stop
    with pytest.raises(PermissionError):
        plan(store_path(root / "cut", spec), spec, clips)
    FAULTS.reset()
    assert downloaded(written(root / "cut", commit=False).path) == whole


@pytest.mark.parametrize("fault", ["503", "cut"])
def test_answers_that_are_lost_while_writing_change_nothing(root, tmp_path, fault):
    """After "cut" the server has done what was asked, and nobody knows: the repeat finds its own object."""
    FAULTS.rule = lambda method, path, number: fault if method in ("PUT", "GET") and number == 1 else None
    writer = written(root)
    FAULTS.reset()
    assert verify(writer.path).problems == ()
    own = written(tmp_path).path
    assert downloaded(writer.path) == {
        str(path.relative_to(own)): path.read_bytes() for path in own.rglob("*") if path.is_file()
    }
    np.testing.assert_array_equal(
        FeatureStore.open(writer.path).hidden_states(np.arange(N_CLIPS), [1])[:, 0],
        all_features(writer.spec, "hidden_states", FAILURES)[:, 1],
    )


def test_a_server_that_refuses_leaves_what_was_there(root):
    writer = written(root, commit=False)
    clips = clip_table(N_CLIPS)
    spec = feature_spec(clips, prompt=type(writer.spec.prompt)("other", "Anything?"))
    other = plan(store_path(root, spec), spec, clips)
    other.write_partition(0, features(spec, 0))
    FAULTS.rule = lambda method, path, number: "forbidden" if method == "PUT" and "head_outputs" in path else None
    with pytest.raises(StoreError, match=r"partition 1 of s3://.* cannot be written: .*credentials of the environment"):
        other.write_partition(1, features(spec, 1))
    FAULTS.reset()
    assert other.missing() == [1, 2]
    assert FeatureStore.open(other.path).written.sum() == 256
    assert not list(claims_in(other.path.parent).folder.iterdir())


# Claims


def test_one_of_several_takers_has_a_partition(root):
    folder = root / "toys" / "segment-24-8" / "toy"
    found, start = [], threading.Barrier(8)

    def take():
        start.wait()
        claim = claims_in(folder).take(0)
        if claim is not None:
            found.append(claim)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    found[0].check()
    found[0].release()
    assert list(claims_in(folder).folder.iterdir()) == []
    with claims_in(folder).hold(0) as again:
        again.check()


@pytest.mark.parametrize("pause", some(range(14), 5))
def test_a_worker_suspended_at_any_request_changes_nothing_of_its_taker(root, pause):
    """The owner stops before its n-th request; its taker writes other values; the owner goes on."""
    clips = clip_table(3)
    spec = feature_spec(clips)
    writer = plan(store_path(root, spec), spec, clips)
    mine, theirs = features(spec, 0, {0: "mine"}), features(spec, 0)
    owner = claims_in(writer.path.parent).hold(0)
    stopped, awake, outcome = threading.Event(), threading.Event(), []
    owning: list[int] = []
    count = 0
    original = RemotePath._try

    def watched(self, action):
        nonlocal count
        if threading.get_ident() in owning:
            count += 1
            if count == pause + 1:
                stopped.set()
                assert awake.wait(PATIENCE)
        return original(self, action)

    def write():
        owning.append(threading.get_ident())
        try:
            writer.write_partition(0, mine, owner)
            outcome.append(None)
        except StoreError as error:
            outcome.append(error)
        stopped.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RemotePath, "_try", watched)
        thread = threading.Thread(target=write)
        thread.start()
        assert stopped.wait(PATIENCE)
        owner._released.set()
        owner._thread.join()
        patch.setattr("vadprobe.store.claims.owner.Owner.vanished", lambda self: True)
        with claims_in(writer.path.parent).take(0) as claim:
            writer.write_partition(0, theirs, claim)
        awake.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert outcome[0] is None or isinstance(outcome[0], ClaimLostError)
    writer.commit()
    assert verify(writer.path).problems == ()
    assert FeatureStore.open(writer.path).failures == {}
    np.testing.assert_array_equal(
        FeatureStore.open(writer.path).hidden_states(np.arange(3), range(3)), all_features(spec, "hidden_states")
    )


# Verification and repair


def test_damage_is_found_named_and_mended(root):
    writer = written(root)
    before = downloaded(root)
    arrays = feature_arrays(BACKBONE, N_CLIPS)
    shard = shard_path(writer.path, arrays[1], 1)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    lost = shard_path(writer.path, arrays[0], 0)
    lost.unlink()
    (records_of(writer.path) / "000009.json").write_bytes(b"{}")
    found = verify(writer.path, workers=2)
    assert found.redo == (0, 1)
    assert any(str(one).endswith("partition 0: the shard of hidden_states is missing") for one in found.problems)
    assert any(problem.remedy == "remove" for problem in found.problems)
    apply(plan_repair(found))
    (records_of(writer.path) / "000009.json").unlink()
    written(root)
    assert downloaded(root) == before


def test_a_web_server_is_verified_without_listing(served):
    found = verify(served)
    assert found.problems == ()
    assert found.n_bytes > 0


# Paths


def test_a_web_server_is_read_only_and_lists_nothing(served):
    with pytest.raises(OSError, match="http://"):
        served.joinpath("note.txt").write_bytes(b"x")
    with pytest.raises(NoListingError, match="cannot list its files"):
        list(served.iterdir())


def test_paths_behave_like_those_of_folders(root):
    (root / "a" / "b.json").write_bytes(b"{}")
    (root / "a" / "c" / "d.json").write_bytes(b"1")
    here = Path("/") / "a"
    there = root / "a"
    for name in ("name", "stem", "suffix"):
        assert getattr(there / "b.json", name) == getattr(here / "b.json", name)
    assert sorted(path.name for path in there.iterdir()) == ["b.json", "c"]
    assert [path.name for path in there.glob("*.json")] == ["b.json"]
    assert sorted(path.name for path in there.rglob("*.json")) == ["b.json", "d.json"]
    assert there.is_dir()
    assert not there.is_file()
    assert not (root / "b").exists()
    assert (there / "b.json").with_suffix(".zarr") == there / "b.zarr"
    assert (there / "c" / "d.json").relative_to(root).as_posix() == "a/c/d.json"
    assert there.parents[0] == root
    assert hash(there) == hash(root / "a")
    assert sorted([there / "c", there / "b"]) == [there / "b", there / "c"]
    with pytest.raises(FileNotFoundError, match=r"s3://.*nothing does not exist"):
        (root / "nothing").read_bytes()
    with pytest.raises(TypeError, match="is a URL, not a file on this machine"):
        os.fspath(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://host/path", "must be a folder, or a URL that begins with s3://, .*, got 'ftp://host/path'"),
        ("s3://key:secret@bucket/x", "the URL s3://bucket/x carries a user name"),
        ("https://host/x?X-Amz-Signature=abc", "the URL https://host/x carries"),
        ("s3:///x", "names no bucket"),
        ("s3://bucket/../x", "leads upwards"),
    ],
)
def test_urls_that_are_refused(text, message):
    with pytest.raises(VadprobeError, match=message) as caught:
        location(text)
    assert "secret" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_folders_stay_folders(tmp_path):
    assert location(str(tmp_path)) == tmp_path
    assert location(f"file://{tmp_path}") == tmp_path
    assert isinstance(location("features"), Path)


# Commands


def run(capsys, *arguments, code=0):
    assert main(list(map(str, arguments))) == code, capsys.readouterr()
    return capsys.readouterr().out


def test_commands_take_urls(pushed, local, tmp_path, capsys):
    FAULTS.reset()
    bucket, folder = pushed.parents[3], local.path.parents[3]
    assert run(capsys, "ls", bucket).splitlines()[1].split() == run(capsys, "ls", folder).splitlines()[1].split()
    assert f"{pushed}" in run(capsys, "show", pushed)
    assert "values         same (bit for bit)" in run(capsys, "diff", pushed, local.path, "--values")
    assert "600 rows (89 failed)" in run(capsys, "verify", bucket, "--workers", 1)
    run(capsys, "export", pushed, tmp_path / "npy", "--format", "npy", "--heads", "1:2", "--videos", "video 0")
    (file,) = (tmp_path / "npy" / "head_outputs").glob("*.npy")
    np.testing.assert_array_equal(
        np.load(file).reshape(100, -1), local.head_outputs(np.arange(100), [(1, 2)]).reshape(100, -1)
    )
    assert "2 of 2 partitions" in run(capsys, "compact", bucket, tmp_path / "compact", "--rows", 512)
    assert "3 of 3 partitions" in run(capsys, "pull", pushed, tmp_path / "pulled")
    assert verify(tmp_path / "pulled" / pushed.relative_to(bucket)).problems == ()


def test_commands_on_a_web_server_go_by_the_saved_list(served, local, tmp_path, capsys):
    FAULTS.reset()
    web, folder = served.parents[3], local.path.parents[3]
    run(capsys, "ls", folder, "--save")
    assert run(capsys, "ls", web).splitlines()[1].split() == run(capsys, "ls", folder).splitlines()[1].split()
    assert "3 of 3 partitions" in run(capsys, "pull", web, tmp_path / "pulled", "--layers", "1")
    (folder / "catalog.json").unlink()
    assert main(["pull", str(web), str(tmp_path / "other")]) in (1, 2)
    assert main(["gc", str(web)]) == 2
    assert "cannot list files; run 'vadprobe gc' on a machine" in capsys.readouterr().err
    assert main(["push", str(folder), str(web)]) == 2
    assert "http://" in capsys.readouterr().err


def test_gc_removes_what_a_dead_worker_claimed_in_a_bucket(root, capsys, monkeypatch):
    writer = written(root)
    owner = claims_in(writer.path.parent).take(1)
    owner._released.set()
    owner._thread.join()
    assert "are kept" in run(capsys, "gc", root)
    monkeypatch.setattr("vadprobe.store.claims.owner.Owner.runs_here", lambda self: False)
    monkeypatch.setattr("vadprobe.store.claims.owner.Owner.vanished", lambda self: True)
    assert "000001.1" in run(capsys, "gc", root)
    assert "Removed" in run(capsys, "gc", root, "--yes")
    assert list(claims_in(writer.path.parent).folder.iterdir()) == []
    assert verify(writer.path).problems == ()


def test_a_wrong_url_is_a_sentence(bucket, capsys):
    for arguments in (["ls", "s3://features/nothing"], ["show", "s3://features/no.zarr"], ["verify", "ftp://x/y"],
                      ["pull", "s3://no-such-bucket/x", "here"], ["ls", "s3://key:secret@b/x"]):  # fmt: skip
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert "vadprobe" in error
        assert "secret" not in error
        assert "Traceback" not in error
