"""Features as plain files: what other programs read is what the store holds, and nothing lands elsewhere."""

import json
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import builders
from tests.support.builders import PROMPT, SAMPLING, all_features, committed_store, edit_json, tree, write_missing
from vadprobe.flows.command_line import main
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.exchange import export as export_module
from vadprobe.store.exchange.export import export
from vadprobe.store.exchange.export_choice import ExportChoice
from vadprobe.store.files.names import file_names
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.writing.writer import plan

N_CLIPS = 600  # three partitions, six videos, two of which lie in two partitions
FAILURES = {3: "unreadable", 255: "too late", 256: "too late"}
ARRAYS = ("hidden_states", "head_outputs", "answer_logits")


def stored(folder: Path, n_clips: int = 5, **settings: Any) -> FeatureStore:
    """A committed store below `folder / "root"`."""
    return FeatureStore.open(committed_store(folder / "root", n_clips, **settings).path)


def index_of(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "index.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_npy_files_hold_what_the_store_holds(tmp_path: Path, dtype: str) -> None:
    store = stored(tmp_path, N_CLIPS, dtype=dtype, failures=FAILURES)
    done = export(store, tmp_path / "out", ExportChoice("npy"))
    assert (done.n_written, done.n_kept, done.n_rows, done.n_failed) == (6, 0, N_CLIPS, 3)
    index = index_of(tmp_path / "out")
    assert index["stored_as"] == ("float16" if dtype == "float16" else "float32")
    for name in ARRAYS:
        expected = all_features(store.spec, name, FAILURES)
        for number in range(6):
            found = np.load(tmp_path / "out" / name / f"video {number}.npy", allow_pickle=False)
            rows = slice(*index["videos"][f"video {number}"]["rows"])
            assert found.dtype == expected.dtype
            assert found.tobytes() == expected[rows].tobytes()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_safetensors_files_are_read_by_the_library_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    load_file = pytest.importorskip("safetensors.torch").load_file
    store = stored(tmp_path, N_CLIPS, dtype=dtype, failures=FAILURES)
    export(store, tmp_path / "out", ExportChoice("safetensors"))
    whole = {name: all_features(store.spec, name, FAILURES) for name in ARRAYS}
    for number in range(6):
        found = load_file(tmp_path / "out" / f"video {number}.safetensors")
        assert set(found) == set(ARRAYS)
        for name, tensor in found.items():
            assert tensor.dtype == getattr(torch, dtype)
            expected = whole[name][number * 100 : number * 100 + 100]
            carried = tensor.float() if dtype == "bfloat16" else tensor
            assert carried.numpy().tobytes() == expected.tobytes()


def test_the_library_reads_the_header_that_is_written(tmp_path: Path) -> None:
    safe_open = pytest.importorskip("safetensors").safe_open
    store = stored(tmp_path, 7)
    export(store, tmp_path / "out", ExportChoice("safetensors", heads=((1, 2), (0, 0))))
    with safe_open(tmp_path / "out" / "video 0.safetensors", framework="np") as file:
        assert file.metadata() == {"video": "video 0", "store": store.spec.digest}
        assert file.get_slice("head_outputs").get_shape() == [7, 2, 4]
        assert file.get_slice("head_outputs").get_dtype() == "BF16"
    content = (tmp_path / "out" / "video 0.safetensors").read_bytes()
    assert int.from_bytes(content[:8], "little") % 8 == 0


def test_chosen_layers_heads_and_videos_alone_are_exported(tmp_path: Path) -> None:
    store = stored(tmp_path, N_CLIPS)
    choice = ExportChoice("npy", layers=(2, 0), heads=((1, 2), (0, 1)), videos=("video 4", "video 2"))
    assert export(store, tmp_path / "out", choice).n_written == 2
    hidden, heads = (all_features(store.spec, name) for name in ARRAYS[:2])
    for number in (2, 4):
        rows = slice(number * 100, number * 100 + 100)
        name = f"video {number}.npy"
        assert np.array_equal(np.load(tmp_path / "out/hidden_states" / name), hidden[rows][:, [2, 0]])
        assert np.array_equal(np.load(tmp_path / "out/head_outputs" / name), heads[rows][:, [1, 0], [2, 1]])
    index = index_of(tmp_path / "out")
    assert list(index["videos"]) == ["video 2", "video 4"]
    assert index["arrays"]["hidden_states"]["layers"] == [2, 0]
    assert index["arrays"]["head_outputs"]["heads"] == [[1, 2], [0, 1]]
    assert index["arrays"]["head_outputs"]["dims"] == ["clip", "head", "head_dim"]
    assert set(index["arrays"]) == set(ARRAYS)


@pytest.mark.parametrize(
    ("choice", "arrays"),
    [
        (ExportChoice("npy", layers=(1,)), {"hidden_states", "answer_logits"}),
        (ExportChoice("npy", heads=((0, 0),)), {"head_outputs", "answer_logits"}),
        (ExportChoice("npy", heads=((0, 0),), arrays=("head_outputs",)), {"head_outputs"}),
        (ExportChoice("npy", arrays=("answer_logits",)), {"answer_logits"}),
    ],
)
def test_naming_layers_leaves_the_heads_out_and_the_other_way(
    tmp_path: Path, choice: ExportChoice, arrays: set[str]
) -> None:
    export(stored(tmp_path), tmp_path / "out", choice)
    assert {path.name for path in (tmp_path / "out").iterdir()} == arrays | {"index.json"}


def test_failed_rows_are_nan_and_the_index_has_the_reason(tmp_path: Path) -> None:
    store = stored(tmp_path, N_CLIPS, failures=FAILURES)
    export(store, tmp_path / "out", ExportChoice("npy"))
    videos = index_of(tmp_path / "out")["videos"]
    assert videos["video 0"]["failed"] == {"3": "unreadable"}
    assert videos["video 2"]["failed"] == {"55": "too late", "56": "too late"}
    found = np.load(tmp_path / "out" / "hidden_states" / "video 2.npy")
    assert np.flatnonzero(np.isnan(found).all(axis=(1, 2))).tolist() == [55, 56]
    assert videos["video 2"]["start_frames"] == store.clips.start_frames[200:300].tolist()
    assert videos["video 2"]["stop_frames"] == store.clips.stop_frames[200:300].tolist()


@pytest.mark.parametrize("format_name", ["npy", "safetensors"])
def test_an_export_goes_on_where_it_stopped(tmp_path: Path, format_name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, choice = stored(tmp_path, N_CLIPS, failures=FAILURES), ExportChoice(format_name)
    export(store, tmp_path / "whole", choice)

    def interrupt(done: int, total: int) -> None:
        assert total == 6
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(store, tmp_path / "out", choice, interrupt)
    done = export(store, tmp_path / "out", choice)
    assert (done.n_written, done.n_kept, done.n_rows, done.n_failed) == (2, 4, N_CLIPS, 3)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    victim = next(path for path in sorted((tmp_path / "out").rglob("video 3.*")))
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    next(path for path in sorted((tmp_path / "out").rglob("video 5.*"))).unlink()
    assert export(store, tmp_path / "out", choice).n_written == 2
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_an_export_that_was_killed_leaves_nothing_behind_when_it_goes_on(tmp_path: Path) -> None:
    store = stored(tmp_path, N_CLIPS)
    export(store, tmp_path / "whole", ExportChoice("npy"))
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from vadprobe.store.exchange.export import export\n"
        "from vadprobe.store.exchange.export_choice import ExportChoice\n"
        "from vadprobe.store.files import atomic_files\n"
        "from vadprobe.store.reading.feature_store import FeatureStore\n"
        "calls = []\n"
        "def sync(path):\n"  # after a file was renamed
        "    calls.append(path)\n"
        "    if len(calls) == int(sys.argv[3]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic_files.sync = sync\n"
        "export(FeatureStore.open(Path(sys.argv[1])), Path(sys.argv[2]), ExportChoice('npy'))\n"
    )
    out = tmp_path / "out"
    for calls in (2, 6):  # the first is the index
        arguments = [sys.executable, "-c", script, str(store.path), str(out), str(calls)]
        assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
        (out / "hidden_states" / f"video 1.npy.7.{'0' * 32}.partial").write_bytes(b"half")
    export(store, out, ExportChoice("npy"))
    assert tree(out) == tree(tmp_path / "whole")


def test_two_exports_do_not_write_into_one_folder(tmp_path: Path) -> None:
    store = stored(tmp_path)

    def again(done: int, total: int) -> None:
        with pytest.raises(VadprobeError, match="another process exports"):
            export(store, tmp_path / "out", ExportChoice("npy"))

    export(store, tmp_path / "out", ExportChoice("npy"), again)


def test_more_videos_are_added_to_an_export(tmp_path: Path) -> None:
    store = stored(tmp_path, N_CLIPS)
    export(store, tmp_path / "out", ExportChoice("npy", videos=("video 1",)))
    done = export(store, tmp_path / "out", ExportChoice("npy"))
    assert (done.n_written, done.n_kept) == (5, 1)


def test_rows_that_were_computed_again_are_exported_again(tmp_path: Path) -> None:
    writer = committed_store(tmp_path / "root", N_CLIPS, failures=FAILURES)
    export(FeatureStore.open(writer.path), tmp_path / "out", ExportChoice("npy"))
    writer.write_partition(1, builders.features(writer.spec, 1))
    writer.commit()
    done = export(FeatureStore.open(writer.path), tmp_path / "out", ExportChoice("npy"))
    assert (done.n_written, done.n_kept, done.n_failed) == (4, 2, 2)  # videos 2 to 5 have rows in that partition


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    store, out = stored(tmp_path), tmp_path / "out"
    export(store, out, ExportChoice("npy"))
    before = tree(out)
    for again, choice, said in (
        (stored(tmp_path / "other", dtype="float32"), ExportChoice("npy"), "another store"),
        (store, ExportChoice("safetensors"), "another choice"),
        (store, ExportChoice("npy", layers=(1,)), "another choice"),
    ):
        with pytest.raises(VadprobeError, match=said):
            export(again, out, choice)
    assert tree(out) == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(VadprobeError, match="not an export"):
        export(store, tmp_path / "full", ExportChoice("npy"))
    with pytest.raises(VadprobeError, match="got a file"):
        export(store, tmp_path / "full" / "mine.txt", ExportChoice("npy"))
    with pytest.raises(VadprobeError, match="inside of a store"):
        export(store, store.path / "out", ExportChoice("npy"))
    edit_json(out / "index.json", lambda index: index.update(videos=[]))
    with pytest.raises(VadprobeError, match="not the index"):
        export(store, out, ExportChoice("npy"))


def test_an_index_that_was_edited_is_not_believed(tmp_path: Path) -> None:
    store, out = stored(tmp_path), tmp_path / "out"
    export(store, out, ExportChoice("npy"))
    before = tree(out)
    for value in (None, {}, {"files": None}, {"files": {"hidden_states": 3}}, {"files": {}}):
        edit_json(out / "index.json", lambda index, value=value: index["videos"].update({"video 0": value}))
        assert export(store, out, ExportChoice("npy")).n_written == 1
        assert tree(out) == before


EVIL = ("../../evil", "/etc/evil", "..", "", "a/b", "a\\b", "nul\0", "-rf", "CON", "Case", "case", "x" * 300, "é", "t.")


def test_names_that_are_none_for_files_stay_in_the_folder(tmp_path: Path) -> None:
    names = [name for name in EVIL if name]
    videos = [Video(name, f"{number}.mp4", 47, 25.0) for number, name in enumerate(names)]
    clips = ClipTable.build(videos, [f"{number:064x}" for number in range(len(videos))], SAMPLING)
    spec = builders.feature_spec(clips)
    writer = plan(builders.store_path(tmp_path / "deep" / "root", spec), spec, clips)
    write_missing(writer)
    writer.commit()
    before = tree(tmp_path / "deep")
    for format_name in ("npy", "safetensors"):
        out = tmp_path / "deep" / "out" / format_name
        done = export(FeatureStore.open(writer.path), out, ExportChoice(format_name))
        assert done.renamed == len(names)
        entries = index_of(out)["videos"]
        assert entries.keys() == set(names)
        paths = [out / file["path"] for entry in entries.values() for file in entry["files"].values()]
        assert len({str(path).casefold() for path in paths}) == len(paths)
        assert all(path.resolve().is_relative_to(out.resolve()) and path.is_file() for path in paths)
        assert {path for path in out.rglob("*") if path.is_file()} == {*paths, out / "index.json"}
    assert {key: value for key, value in tree(tmp_path / "deep").items() if not key.startswith("out")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep"]


def test_file_names_are_plain_and_stay_apart() -> None:
    plain = ("Abuse001_x264", "v=-8u8RF__#1_label_A", "Bad.Boys.1995__#00-26-51_label_B2-0-0", "a b", "_")
    assert file_names(plain) == {name: name for name in plain}
    made = file_names(EVIL)
    assert len({name.casefold() for name in made.values()}) == len(EVIL)
    assert not any(set(name) & set("/\\\0") or name.startswith((".", "-")) for name in made.values())
    assert file_names(["Case"]) == {"Case": "Case"}


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    store = stored(tmp_path)
    for name in ("elsewhere", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "out" / "hidden_states").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VadprobeError, match="is a link"):
        export(store, tmp_path / "out", ExportChoice("npy"))
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_store_of_a_part_exports_that_part(tmp_path: Path) -> None:
    held = StoredParts(layers=(1,), heads=((0, 2),), answers=False, partitions=(1,))
    store = stored(tmp_path, N_CLIPS, contents=held)
    done = export(store, tmp_path / "out", ExportChoice("npy"))
    assert (done.n_written, done.left_out) == (2, 4)  # videos 3 and 4 are whole in it
    found = np.load(tmp_path / "out" / "hidden_states" / "video 3.npy")
    assert np.array_equal(found, all_features(store.spec, "hidden_states")[300:400, [1]])
    assert not (tmp_path / "out" / "answer_logits").exists()
    for choice, said in (
        (ExportChoice("npy", layers=(2,)), "layer 2 is not stored"),
        (ExportChoice("npy", arrays=("answer_logits",)), "no answer_logits"),
        (ExportChoice("npy", videos=("video 0",)), "lacks rows of 'video 0'"),
        (ExportChoice("npy", videos=("video 9",)), "no clip of video 'video 9'"),
    ):
        with pytest.raises(VadprobeError, match=said):
            export(store, tmp_path / "refused", choice)
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (ExportChoice("zip"), "format"),  # type: ignore[arg-type]
        (ExportChoice("npy", arrays=("pixels",)), "got pixels"),
        (ExportChoice("npy", arrays=()), "got none"),
        (ExportChoice("npy", layers=(9,)), "layer 9 does not exist"),
        (ExportChoice("npy", heads=((0, 3),)), "head 0:3 does not exist"),
        (ExportChoice("npy", layers=(1,), arrays=("head_outputs",)), "hidden_states is not among"),
    ],
)
def test_impossible_choices_are_refused_before_a_file_is_made(tmp_path: Path, choice: ExportChoice, said: str) -> None:
    store = stored(tmp_path)
    with pytest.raises(VadprobeError, match=said):
        export(store, tmp_path / "out", choice)
    assert not (tmp_path / "out").exists()


def test_an_unfinished_store_is_refused(tmp_path: Path) -> None:
    writer = committed_store(tmp_path / "root", N_CLIPS)
    (writer.path.with_suffix(".records") / "000001.json").unlink()
    with pytest.raises(StoreError, match="not finished"):
        export(FeatureStore.open(writer.path), tmp_path / "out", ExportChoice("npy"))


def test_memory_holds_one_partition_however_long_a_video_is(tmp_path: Path) -> None:
    clips = builders.clip_table(2048, clips_per_video=2048)
    spec = builders.feature_spec(clips, backbone=replace(builders.BACKBONE, n_layers=4, hidden_size=512))
    writer = plan(builders.store_path(tmp_path / "root", spec), spec, clips)
    write_missing(writer)
    store = FeatureStore.open(writer.path)
    partition_bytes = 256 * 5 * 512 * 4
    tracemalloc.start()
    try:
        export(store, tmp_path / "out", ExportChoice("safetensors", layers=(0, 1, 2, 3, 4)))
        assert tracemalloc.get_traced_memory()[1] < 4.5 * partition_bytes  # the whole video is eight
    finally:
        tracemalloc.stop()


def test_each_partition_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored(tmp_path, N_CLIPS)
    read: list[int] = []
    original = FeatureStore.hidden_states

    def counted(self: FeatureStore, rows: np.ndarray, layers: Any) -> np.ndarray:
        read.extend(rows.tolist())
        return original(self, rows, layers)

    monkeypatch.setattr(export_module.FeatureStore, "hidden_states", counted)
    export(store, tmp_path / "out", ExportChoice("npy", layers=(1,)))
    assert sorted(read) == list(range(N_CLIPS))


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = committed_store(tmp_path / "root", N_CLIPS, failures=FAILURES)
    names = tmp_path / "names.txt"
    names.write_text("video 0\nvideo 2\n")
    command = ["export", str(writer.path), str(tmp_path / "out"), "--format", "npy", "--layers", "1", "--heads", "1:2"]
    assert main([*command, "--videos", f"@{names}", "--arrays", "hidden_states,head_outputs"]) == 0
    printed = capsys.readouterr()
    assert "2 videos written" in printed.out
    assert "3 of them failed" in printed.out
    assert "video/s" in printed.err or "it/s" in printed.err or "2/2" in printed.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"hidden_states", "head_outputs", "index.json"}
    assert main([*command, "--videos", ","]) == 2
    assert "--videos must name at least one" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none.zarr"), str(tmp_path / "x"), "--format", "npy"]) == 2
    assert "vadprobe:" in capsys.readouterr().err
    assert PROMPT.key in index_of(tmp_path / "out")["store"]["prompt"]


def test_a_store_behind_a_url_is_exported_as_well(tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    from tests.support.processes.remote_servers import Faults, web_server

    writer = committed_store(tmp_path / "root", N_CLIPS, failures=FAILURES)
    export(FeatureStore.open(writer.path), tmp_path / "whole", ExportChoice("npy"))
    with web_server(tmp_path / "root", Faults()) as url:
        store = f"{url}/{writer.path.relative_to(tmp_path / 'root').as_posix()}"
        assert main(["export", store, str(tmp_path / "out"), "--format", "npy"]) == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
