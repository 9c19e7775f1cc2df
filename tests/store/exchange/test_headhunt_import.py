"""HeadHunt-VAD's pickles as a feature store: every documented form, and what becomes of files that are none."""

import io
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.builders import tree
from vadprobe.flows.command_line import main
from vadprobe.store.datasets.annotations.tables import read_table
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.exchange.headhunt_files import Layout, describe_file, is_anomalous, read_file
from vadprobe.store.exchange.headhunt_import import HeadHuntImport, Imported, import_headhunt
from vadprobe.store.files.location import location
from vadprobe.store.format.prompts import shipped
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify

LAYERS, HEADS, HEAD_DIM = 3, 2, 4
WIDTH = HEADS * HEAD_DIM
SETTINGS = HeadHuntImport("xd", "internvl3", shipped("coarse"), Sampling("video", None, 16), Layout(HEADS))


def values_of(number: int, *shape: int) -> np.ndarray:
    """Numbers that bfloat16 and float16 hold exactly."""
    return np.random.default_rng(number).integers(-128, 128, shape or (LAYERS, WIDTH)).astype(np.float32) / 16


def save(folder: Path, name: str, value: Any, as_torch: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}_oproj_input.pkl"
    if as_torch:
        import torch

        file = io.BytesIO()
        torch.save(value, file)
        path.write_bytes(file.getvalue())
    else:
        path.write_bytes(pickle.dumps(value))
    return path


def a_video(number: int, label: Any = "A", **others: Any) -> dict[str, Any]:
    return {"oproj_inputs": values_of(number), "label": label, "video_name": f"video {number}.mp4", **others}


def a_folder(folder: Path, count: int = 5) -> Path:
    for number in range(count):
        save(folder, f"video_{number}", a_video(number, "A" if number % 2 else "B2-0-0"))
    return folder


def run(folder: Path, root: Path, **changes: Any) -> tuple[Imported, FeatureStore]:
    done = import_headhunt(folder, root, replace(SETTINGS, **changes))
    return done, FeatureStore.open(done.store)


def heads_of(store: FeatureStore) -> np.ndarray:
    return store.blocks(np.arange(len(store.clips)), range(store.spec.backbone.n_layers))


def test_a_folder_becomes_a_store_of_all_heads_and_nothing_else(tmp_path: Path) -> None:
    done, store = run(a_folder(tmp_path / "in"), tmp_path / "root")
    assert (done.n_videos, done.n_rows, done.failed, done.left_out) == (5, 5, (), ())
    assert done.store == tmp_path / "root/xd/video-16/internvl3/coarse.zarr"
    assert store.clips.video_ids == tuple(f"video {number}" for number in range(5))
    expected = np.stack([values_of(number) for number in range(5)]).reshape(5, LAYERS, HEADS, HEAD_DIM)
    assert np.array_equal(heads_of(store), expected)
    assert store.spec.recipe["frames"] == "unknown"
    assert np.isnan(store.clips.fps).all()
    with pytest.raises(StoreError, match="not stored"):
        store.hidden_states(np.array([0]), [1])
    with pytest.raises(StoreError, match="no answer_logits"):
        store.answer_logits(np.array([0]))
    assert not verify(done.store).problems


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize("as_torch", [True, False])
def test_tensors_of_every_dtype_are_stored_without_loss(tmp_path: Path, dtype: str, as_torch: bool) -> None:
    torch = pytest.importorskip("torch")
    for number in range(3):
        tensor = torch.from_numpy(values_of(number)).to(getattr(torch, dtype))
        save(tmp_path / "in", f"{number}", a_video(number, oproj_inputs=tensor), as_torch)
    _, store = run(tmp_path / "in", tmp_path / "root")
    assert store.spec.backbone.dtype == ("float32" if dtype == "float64" else dtype)
    assert np.array_equal(heads_of(store).reshape(3, LAYERS, WIDTH), np.stack([values_of(n) for n in range(3)]))


@pytest.mark.parametrize("key", ["oproj_inputs", "oproj_inputs_last_token", "self_attns"])
@pytest.mark.parametrize("shape", [(LAYERS, WIDTH), (LAYERS, 1, WIDTH), (1, LAYERS, WIDTH), (1, LAYERS, 1, WIDTH)])
def test_the_documented_keys_and_shapes_are_one_vector_per_video(
    tmp_path: Path, key: str, shape: tuple[int, ...]
) -> None:
    path = save(tmp_path / "in", "one", {key: values_of(0).reshape(shape), "label": "A", "name": "v"})
    found = describe_file(path, Layout(HEADS))
    assert (found.video_id, found.label, found.shape) == ("v", "A", (1, LAYERS, HEADS, HEAD_DIM))
    assert np.array_equal(read_file(path, Layout(HEADS)), values_of(0).reshape(1, LAYERS, HEADS, HEAD_DIM))


def test_a_file_without_a_name_has_the_name_of_its_file(tmp_path: Path) -> None:
    path = save(tmp_path / "in", "Bad.Boys.1995__00-26-51_label_B2", {"oproj_inputs": values_of(0)})
    found = describe_file(path, Layout(HEADS))
    assert (found.video_id, found.label) == ("Bad.Boys.1995__00-26-51_label_B2", None)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"features": values_of(0), "label": "A"}, "the keys 'features', 'label'; one must be oproj_inputs or"),
        ({}, "the keys none"),
        (a_video(0, self_attns=values_of(1)), r"say which one \(--key\)"),
        ([a_video(0), a_video(0)], "--clip-length"),
        ([], "must hold a dictionary, got a value of type list"),
        (values_of(0), "must hold a dictionary, got a value of type tensor"),
        ("text", "type str"),
        (a_video(0, oproj_inputs=[1.0]), "must be a tensor of .*, got type list"),
        (a_video(0, oproj_inputs=np.arange(8)), "must be a tensor of .*, got type int64"),
        (a_video(0, oproj_inputs=values_of(0, 8)), r"shape \(8,\)"),
        (a_video(0, oproj_inputs=values_of(0, 0, WIDTH)), r"shape \(0, 8\)"),
        (a_video(0, oproj_inputs=values_of(0, 2, 3, 8)), "--clip-length"),
        (a_video(0, oproj_inputs=values_of(0, 2, 3, 2, 8)), r"shape \(2, 3, 2, 8\)"),
        (a_video(0, oproj_inputs=values_of(0, 3, 7)), "not a multiple of 2 heads"),
        (a_video(0, oproj_inputs=np.full((3, 8), 0.1)), "float64 values that float32 does not hold"),
        (a_video(0, video_name=3), "video name must be text, got type int"),
        (a_video(0, video_name="a\nb"), "video name is not valid"),
        (a_video(0, label=[1]), "label must be text or a whole number, got type list"),
    ],
)
def test_a_file_of_another_form_is_refused_by_what_it_holds(tmp_path: Path, value: Any, said: str) -> None:
    found = describe_file(save(tmp_path / "in", "odd", value), Layout(HEADS))
    assert found.reason is not None
    assert found.reason.startswith("odd_oproj_input.pkl: ")
    assert re.search(said, found.reason)


def test_a_key_can_be_named(tmp_path: Path) -> None:
    path = save(tmp_path / "in", "two", a_video(0, self_attns=values_of(1), other=values_of(2)))
    for key, number in (("oproj_inputs", 0), ("self_attns", 1), ("other", 2)):
        found = read_file(path, Layout(HEADS, key))
        assert np.array_equal(found.reshape(LAYERS, WIDTH), values_of(number))


def test_bad_files_are_failed_rows_and_the_run_goes_on(tmp_path: Path) -> None:
    class Call:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'executed'}",)

    folder = a_folder(tmp_path / "in")
    save(folder, "hostile", a_video(7, label=Call()))
    good = (folder / "video_0_oproj_input.pkl").read_bytes()
    (folder / "torn_oproj_input.pkl").write_bytes(good[:-20])
    save(folder, "narrow", a_video(8, oproj_inputs=values_of(8, 2, WIDTH)))
    save(folder, "infinite", a_video(9, oproj_inputs=np.full((LAYERS, WIDTH), np.inf, np.float32)))
    (folder / "notes.txt").write_text("not a pickle")
    done, store = run(folder, tmp_path / "root")
    assert not (tmp_path / "executed").exists()
    assert done.n_rows == 9
    reasons = {store.clips.clip(row).video_id: reason for row, reason in store.failures.items()}
    assert set(reasons) == {"hostile", "torn", "video 8", "video 9"}
    assert "asks for posix.system; only tensors and plain containers are read" in reasons["hostile"]
    assert "damaged" in reasons["torn"]
    assert "most files have (3, 2, 4)" in reasons["video 8"]
    assert "not finite" in reasons["video 9"]
    assert sorted(done.failed) == sorted(reasons.values())
    assert str(tmp_path) not in "".join(done.failed)
    found = heads_of(store)[np.flatnonzero(store.written)].reshape(5, LAYERS, WIDTH)
    assert np.array_equal(found, np.stack([values_of(n) for n in range(5)]))
    assert not verify(done.store).problems


def test_a_folder_of_nothing_readable_makes_no_store(tmp_path: Path) -> None:
    for folder, said in ((tmp_path / "none", "got no folder"), (tmp_path, "has no file")):
        with pytest.raises(VadprobeError, match=said):
            run(folder, tmp_path / "root")
    save(tmp_path / "in", "bad", {"x": 1})
    with pytest.raises(VadprobeError, match=r"none of the 1 files can be read: bad_oproj_input.*keys 'x'"):
        run(tmp_path / "in", tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_names_of_files_that_nobody_can_print_harm_nothing(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "in", 2)
    for number, name in enumerate((b"bad\xff\xfe", b"line\nbreak", b"\x1b[31mred")):
        path = os.fsencode(folder) + b"/" + name + b"_oproj_input.pkl"
        Path(os.fsdecode(path)).write_bytes(pickle.dumps(a_video(10 + number) if number else {"x": 1}))
    save(folder, "odd", {"x\x1b[31m": 1, "label": "A"})
    done, store = run(folder, tmp_path / "root")
    assert done.n_rows == 6
    assert all(name.isprintable() for name in store.clips.video_ids)
    assert len(done.failed) == 2
    assert all(reason.isprintable() for reason in done.failed)


def test_two_files_of_one_video_are_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "in", 2)
    save(folder, "again", a_video(1))
    with pytest.raises(VadprobeError, match="are both of video 'video 1'"):
        run(folder, tmp_path / "root")


def test_prompts_share_the_clip_table_and_the_labels(tmp_path: Path) -> None:
    first, store = run(a_folder(tmp_path / "coarse"), tmp_path / "root")
    other = tmp_path / "detailed"
    for number in range(5):  # written under other names of files, in another order
        video = a_video(number, "A" if number % 2 else "B2-0-0", oproj_inputs=values_of(number + 50))
        save(other, f"{9 - number}", video)
    second, again = run(other, tmp_path / "root", prompt=shipped("detailed"))
    assert again.clips.digest == store.clips.digest
    assert first.labels == second.labels
    assert heads_of(again)[3].reshape(LAYERS, WIDTH).tolist() == values_of(53).tolist()
    save(other, "6", a_video(3, "G"))
    with pytest.raises(VadprobeError, match=r"label 0 \('A'\) of 'video 3', these files say 1 \('G'\)"):
        run(other, tmp_path / "root", prompt=shipped("role"))


def test_the_labels_are_a_table_that_is_read_as_a_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    labels = ("A", "B2-0-0", "Testing_Normal_Videos_Anomaly", "Arson", "unknown", None, 0, 1, True)
    for number, label in enumerate(labels):
        save(folder, f"{number}", a_video(number, label))
    save(folder, "quoted", a_video(9, 'a,"b', video_name='x,"y.mp4'))
    done, _ = run(folder, tmp_path / "root")
    entries = {entry.video_id: entry for entry in read_table(done.labels).checked()}
    assert [entries[f"video {number}"].label for number in range(9)] == [0, 1, 0, 1, None, None, 0, 1, 1]
    assert entries["video 1"].category == "B2-0-0"
    assert (entries['x,"y'].label, entries['x,"y'].category) == (1, 'a,"b')
    assert is_anomalous("A", ("Calm",)) == 1
    assert is_anomalous("Calm", ("Calm",)) == 0


def test_the_same_import_again_writes_nothing_and_another_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "in", 300)
    done, _ = run(folder, tmp_path / "root")
    before = tree(tmp_path / "root")
    assert run(folder, tmp_path / "root")[0].n_rows == 300
    assert tree(tmp_path / "root") == before
    (done.store.with_suffix(".records") / "000001.json").unlink()
    run(folder, tmp_path / "root")
    assert tree(tmp_path / "root") == before
    save(folder, "video_7", a_video(7, oproj_inputs=values_of(8)))
    with pytest.raises(StoreError, match="files_digest"):
        run(folder, tmp_path / "root")


def test_frame_counts_give_the_frames_and_name_what_is_left_out(tmp_path: Path) -> None:
    counts = {f"video {number}": 100 + number for number in range(4)}
    done, store = run(a_folder(tmp_path / "in"), tmp_path / "root", frame_counts=counts)
    assert store.clips.stop_frames.tolist() == [100, 101, 102, 103]
    assert store.spec.recipe["frames"] == "counted"
    assert done.left_out == ("video_4_oproj_input.pkl: the frame counts do not name 'video 4'",)


def test_segments_are_rows_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    save(folder, "a", a_video(0, oproj_inputs=values_of(0, 300, LAYERS, WIDTH)))  # its rows lie in two partitions
    save(folder, "b", [a_video(1, oproj_inputs=values_of(number)) for number in (5, 6, 7)])
    save(folder, "c", a_video(2))
    layout, sampling = Layout(HEADS, segments=True), Sampling("segment", 24, 16)
    done, store = run(folder, tmp_path / "root", layout=layout, sampling=sampling)
    assert done.n_rows == 304
    found = heads_of(store).reshape(304, LAYERS, WIDTH)
    assert np.array_equal(found[:300], values_of(0, 300, LAYERS, WIDTH))
    assert np.array_equal(found[300:], np.stack([values_of(number) for number in (5, 6, 7, 2)]))
    counts = {"video 0": 300 * 24 - 5, "video 1": 80, "video 2": 10}
    save(folder, "torn", {"x": 1})
    done, store = run(folder, tmp_path / "other", layout=layout, sampling=sampling, frame_counts={**counts, "torn": 30})
    named = [store.clips.clip(row).video_id for row in sorted(store.failures)]
    assert named == ["torn"] * 2 + ["video 1"] * 4
    assert "it holds 3 segments, but 80 frames make 4" in store.failures[302]
    done, _ = run(folder, tmp_path / "third", layout=layout, sampling=sampling)
    assert len(done.left_out) == 1
    assert "torn_oproj_input.pkl" in done.left_out[0]


def test_the_same_values_named_many_times_are_refused(tmp_path: Path) -> None:
    entry = a_video(0)
    path = save(tmp_path / "in", "a", [entry] * 100)
    found = describe_file(path, Layout(HEADS, segments=True))
    assert "the same values are named many times" in str(found.reason)


def test_the_command_imports_and_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = a_folder(tmp_path / "in")
    save(folder, "bad", {"x": 1})
    command = ["import", "headhunt", str(folder), "--root", str(tmp_path / "root"), "--dataset", "xd"]
    command += ["--backbone", "internvl3", "--heads", "2", "--prompt"]
    assert main([*command, "coarse"]) == 0
    said = capsys.readouterr().out
    assert "6 videos, 6 rows; all heads, no hidden states, no answer logits" in said
    assert "--format manifest" in said
    assert "failed rows (NaN): bad_oproj_input.pkl: it has the keys 'x'" in said
    assert main([*command, "mine", "--prompt-text", "What is wrong here?"]) == 0
    assert main([*command, "mine"]) == 2
    counts = tmp_path / "counts.csv"
    counts.write_text("video,frames\nvideo 0,77\n")
    assert main([*command, "coarse", "--dataset", "counted", "--frame-counts", str(counts)]) == 1
    assert "left out: bad_oproj_input.pkl" in capsys.readouterr().out
    command[command.index("2")] = "3"
    assert main([*command, "coarse"]) == 2
    assert "not a multiple of 3 heads; correct --heads" in capsys.readouterr().err
    command[command.index("3")] = "0"
    assert main([*command, "coarse"]) == 2
    assert main(["verify", str(tmp_path / "root")]) == 0


def test_a_store_is_imported_into_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("obstore", "moto", "boto3"):
        pytest.importorskip(package)
    from tests.support.processes.remote_servers import BUCKET, Faults, s3_server
    from vadprobe.store.files.object_store import connection

    folder = a_folder(tmp_path / "in")
    command = ["import", "headhunt", str(folder), "--dataset", "xd", "--backbone", "b", "--heads", "2", "--root"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with s3_server(Faults()) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        connection.cache_clear()
        for prompt in ("coarse", "detailed"):  # the second one joins its labels with those that are there
            assert main([*command, f"s3://{BUCKET}/root", "--prompt", prompt]) == 0
        store = FeatureStore.open(location(f"s3://{BUCKET}/root/xd/video-16/b/coarse.zarr"))
        assert heads_of(store)[2].reshape(LAYERS, WIDTH).tolist() == values_of(2).tolist()
        labels = location(f"s3://{BUCKET}/root/xd/labels.csv").read_bytes()
        connection.cache_clear()
    done, _ = run(folder, tmp_path / "root")
    assert labels == done.labels.read_bytes()
