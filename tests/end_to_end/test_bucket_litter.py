"""Buckets as people have them: markers of folders, files of other tools, keys that may not list or not read."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import profiles
from tests.support.builders import committed_store, features, planned_store, write_missing
from tests.support.processes.remote_servers import BUCKET, Faults, bucket_at_hand

pytest.importorskip("obstore", reason="the package for URLs is not installed")
pytest.importorskip("moto", reason="the S3 server of the tests is not installed")

from vadprobe.flows.command_line import main
from vadprobe.store.errors import StoreError
from vadprobe.store.exchange.transfer import Choice, transfer
from vadprobe.store.files import object_store
from vadprobe.store.files.location import location
from vadprobe.store.files.object_store import NoListingError
from vadprobe.store.files.remote_path import RemotePath
from vadprobe.store.format.schema import feature_arrays
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.repair import plan_repair
from vadprobe.store.verification.verify import verify

N_CLIPS = 520
FAULTS = Faults()
Put = Callable[..., None]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with bucket_at_hand(FAULTS) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_store, "RETRIES", 0)
        patch.setattr(object_store, "ATTEMPTS", 2)
        yield url


@pytest.fixture
def put(bucket: str) -> Iterator[Put]:
    """Put objects under keys just as they are given, past the library that would tidy them."""
    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])

    def put_all(*keys: str, content: bytes = b"") -> None:
        for key in keys:
            client.put_object(Bucket=BUCKET, Key=key, Body=content)

    FAULTS.reset()
    yield put_all
    FAULTS.reset()
    client.close()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    writer = committed_store(tmp_path_factory.mktemp("local"), N_CLIPS, failures=dict.fromkeys(range(512, 520), "gone"))
    return FeatureStore.open(writer.path)


def pushed(local: FeatureStore, root: RemotePath) -> RemotePath:
    FAULTS.reset()
    path = transfer(local, root, Choice()).writer.path
    assert isinstance(path, RemotePath)
    return path


def keys_of(root: RemotePath) -> list[str]:
    return sorted(path.key for path in root.rglob("*"))


def folders_of(root: RemotePath) -> list[str]:
    """Every folder from the root down, without a '/' at the end."""
    found = {root.key}
    for key in keys_of(root):
        parts = key.split("/")
        found |= {
            "/".join(parts[:count]) for count in range(1, len(parts)) if len("/".join(parts[:count])) > len(root.key)
        }
    return sorted(found)


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    found = main(list(map(str, arguments)))
    output = capsys.readouterr()
    assert found == code, output
    return output.out


MARKERS = {
    "slash": lambda folder: f"{folder}/",  # consoles, aws s3 sync, rclone, file systems over buckets
    "hadoop": lambda folder: f"{folder}_$folder$",
    "plain": lambda folder: folder,  # Azure: an empty object beside those below it
}


@pytest.mark.parametrize("kind", profiles.some(list(MARKERS), 2))
def test_markers_of_folders_are_ignored_by_every_command(
    kind: str, bucket: str, put: Put, local: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = location(f"{bucket}/markers-{kind}")
    path = pushed(local, root)
    commands = (("ls", root), ("show", path), ("verify", root), ("gc", root))
    before = [run(capsys, *command) for command in commands]
    keys = keys_of(root)
    put(*map(MARKERS[kind], folders_of(root)))
    if kind == "slash":
        put(f"{path.parent.key}/.claims/", f"{path.parent.key}/gone.zarr/", f"{path.parent.key}/gone.records/",
            f"{root.key}/another/", f"{root.key}/another/empty/")  # fmt: skip
    assert keys_of(root) == keys
    assert [run(capsys, *command) for command in commands] == before
    assert verify(path).problems == ()
    assert "3 of 3 partitions" in run(capsys, "pull", root, tmp_path / "pulled")
    assert verify(tmp_path / "pulled" / path.relative_to(root)).problems == ()
    run(capsys, "export", path, tmp_path / "npy", "--format", "npy", "--layers", "1", "--videos", "video 0")
    assert "0 of 3 partitions copied, 3 were there" in run(capsys, "push", local.path, root)
    rows = np.arange(N_CLIPS)
    np.testing.assert_array_equal(FeatureStore.open(path).hidden_states(rows, [1]), local.hidden_states(rows, [1]))


def test_an_extraction_goes_on_among_markers(bucket: str, put: Put) -> None:
    root = location(f"{bucket}/resumed")
    writer = planned_store(root, N_CLIPS)
    writer.write_partition(0, features(writer.spec, 0))
    put(*(f"{folder}/" for folder in folders_of(root)), f"{writer.path.parent.key}/.claims/")
    again = planned_store(root, N_CLIPS)
    assert write_missing(again) == [1, 2]
    again.commit()
    assert verify(again.path).problems == ()


def test_an_empty_object_is_no_marker(bucket: str, put: Put, local: FeatureStore) -> None:
    """A shard that was cut to nothing stays damaged, and a stray empty file stray."""
    path = pushed(local, location(f"{bucket}/cut"))
    arrays = feature_arrays(local.spec.backbone, N_CLIPS)
    shard = path.joinpath(arrays[0].name, "c", "0", *["0"] * (len(arrays[0].shape) - 1))
    put(shard.key, f"{path.key}/{arrays[1].name}/c/stray", f"{path.key}/{arrays[1].name}/c/stray.d/")
    found = [problem.message for problem in verify(path).problems]
    assert any(f"the shard of {arrays[0].name} has 0 bytes" in message for message in found)
    assert any(f"files outside the plan: {arrays[1].name}/c/stray" in message for message in found)
    assert len(found) == 2


def test_files_of_file_managers_are_ignored(bucket: str, put: Put, local: FeatureStore, tmp_path: Path) -> None:
    path = pushed(local, location(f"{bucket}/litter"))
    pulled = transfer(FeatureStore.open(path), tmp_path, Choice()).writer.path
    array = feature_arrays(local.spec.backbone, N_CLIPS)[0].name
    for name in (".DS_Store", "Thumbs.db", "._000000.json", "desktop.ini", ".s3keep", "@eaDir/x"):
        for folder in (path.with_suffix(".records"), path / array / "c", path / array / "c" / "0"):
            put(f"{folder.key}/{name}", content=b"1")
        for folder in (pulled.with_suffix(".records"), pulled / array / "c"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"1")
    assert verify(path).problems == ()
    assert verify(pulled).problems == ()
    (pulled.with_suffix(".records") / "notes.txt").write_bytes(b"1")
    assert "notes.txt" in str(verify(pulled).problems[0])


@pytest.mark.slow
def test_a_listing_that_fails_in_the_middle_is_not_cut_short(bucket: str, put: Put) -> None:
    root = location(f"{bucket}/pages")
    put(*(f"{root.key}/{number:04}" for number in range(1500)), content=b"1")
    FAULTS.reset()
    FAULTS.rule = lambda method, path, number: "503" if "continuation-token" in path and number == 1 else None
    assert len(list(root.rglob("*"))) == 1500
    assert FAULTS.n_faults == 1


@pytest.mark.parametrize("key", ["a//b", "a/./b"])
def test_a_key_that_is_no_path_is_named(key: str, bucket: str, put: Put, local: FeatureStore) -> None:
    root = location(f"{bucket}/odd{len(key)}{key[-2] == '/'}")
    path = pushed(local, root)
    put(f"{path.key}/head_outputs/c/{key}", content=b"1")
    with pytest.raises(NoListingError, match=r"an object below it has a name that is no path.*Delete or rename"):
        list(root.rglob("*"))
    found = verify(path)
    assert found.problems == ()
    assert key in found.notes[0]


# Permissions


def no_listing(root: RemotePath) -> None:
    """The server as a key without permission to list sees it: 403 for a listing, and for what does not exist."""
    known = set(keys_of(root))
    FAULTS.reset()

    def rule(method: str, path: str, number: int) -> str | None:
        key = path.removeprefix(f"/{BUCKET}").removeprefix("/")
        return None if key.partition("?")[0] in known else "forbidden"

    FAULTS.rule = rule


def test_who_may_not_list_reads_what_is_there(
    bucket: str, put: Put, local: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = location(f"{bucket}/unlisted")
    path = pushed(local, root)
    no_listing(root)
    with pytest.raises(NoListingError, match="cannot be listed with the credentials of the environment"):
        list(path.iterdir())
    rows = np.arange(N_CLIPS)
    np.testing.assert_array_equal(FeatureStore.open(path).hidden_states(rows, [1]), local.hidden_states(rows, [1]))
    found = verify(path)
    assert found.problems == ()
    assert "cannot be listed" in found.notes[0]
    assert "sound" in run(capsys, "verify", path)
    assert "520 of 520 rows" in run(capsys, "show", path)
    run(capsys, "diff", path, local.path, "--values")
    assert "3 of 3 partitions" in run(capsys, "pull", path, tmp_path / "pulled")
    run(capsys, "export", path, tmp_path / "npy", "--format", "npy", "--layers", "1", "--videos", "video 0")
    for command in (("ls", root), ("gc", root)):
        assert main(list(map(str, command))) == 2
        assert "cannot be listed" in capsys.readouterr().err


def test_what_is_not_written_yet_may_not_be_read_but_is_not_damaged(
    bucket: str, put: Put, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = location(f"{bucket}/unfinished")
    writer = planned_store(root, N_CLIPS, contents=StoredParts.of(
        committed_store(tmp_path, 3).spec.backbone, N_CLIPS, [1], [(0, 1)], False))  # fmt: skip
    for partition in (0, 2):
        writer.write_partition(partition, features(writer.spec, partition))
    no_listing(root)
    store = FeatureStore.open(writer.path)
    assert store.hidden_states(np.arange(256), [1]).shape == (256, 1, 6)
    with pytest.raises(
        StoreError, match=r"rows 256 to 511 \(partition 1\) are not written yet, or .*cannot be read with these"
    ):
        store.hidden_states(np.array([300]), [1])
    with pytest.raises(StoreError, match="1 record of 3 cannot be read with these credentials, or are not written yet"):
        store.check_finished()
    found = verify(writer.path)
    assert found.redo == ()
    assert [problem.remedy for problem in found.problems] == ["extract", "permit"]
    assert plan_repair(found).is_empty
    output = run(capsys, "verify", writer.path, code=1)
    assert "damaged; verify again with credentials that can read" in output
    assert "1 record cannot be read with these credentials, or do" in run(capsys, "show", writer.path)
    assert "cannot be read with these credentials, or are not written yet" in run(
        capsys, "pull", writer.path, tmp_path / "part", code=1
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_shards_that_may_not_be_read_are_not_damaged(method: str, bucket: str, put: Put, local: FeatureStore) -> None:
    path = pushed(local, location(f"{bucket}/refused-{method}"))
    FAULTS.reset()
    FAULTS.rule = lambda one, key, number: "forbidden" if one == method and "hidden_states/c/0" in key else None
    found = verify(path)
    assert [problem.remedy for problem in found.problems] == ["permit"]
    assert (
        "the shard of hidden_states cannot be read with these credentials, or is missing" in found.problems[0].message
    )
    assert plan_repair(found).is_empty
    if method == "GET":
        with pytest.raises(
            StoreError, match=r"\(partition 0\) cannot be read with these credentials, or is missing; nothing says that"
        ):
            FeatureStore.open(path).hidden_states(np.arange(3), [1])
    FAULTS.rule = lambda one, key, number: "forbidden" if one == method and "zarr.json" in key else None
    if method == "GET":
        assert [problem.remedy for problem in verify(path).problems] == ["permit"]
