"""`vadprobe ls | show | diff | card | gc` as their users meet them: what is printed, exit codes, wrong names."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.builders import (
    PROMPT,
    clip_table,
    committed_store,
    edit_json,
    feature_spec,
    features,
    planned_store,
    tree,
)
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.store_header import StoreHeader
from vadprobe.store.writing.timings.run_timings import PassTimings, RunTimings

N_CLIPS = 300
FAILURES = {7: "the video ended early", 8: "the video ended early", 290: "cannot be decoded"}
BELOW = "toys/segment-24-8/toy"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A root with a committed store with failures and an open one. Nothing may change it."""
    root = tmp_path_factory.mktemp("whole") / "features"
    committed_store(root, N_CLIPS, failures=FAILURES)
    writer = planned_store(root, N_CLIPS, prompt=Prompt("coarse", PROMPT.text))
    writer.write_partition(0, features(writer.spec, 0))
    return root


@pytest.fixture
def root(tmp_path, whole):
    """A copy of that root that a test may change."""
    return Path(shutil.copytree(whole, tmp_path / "features"))


@pytest.fixture
def run(run):
    """Run a command: (exit code, lines of standard output, standard error)."""

    def run_command(*words):
        code, out, err = run(*words)
        return code, out.splitlines(), err

    return run_command


def test_ls_is_a_table_with_a_total(run, whole):
    code, out, _ = run("ls", whole)
    assert code == 0
    digests = [
        feature_spec(clip_table(N_CLIPS), prompt=Prompt(key, PROMPT.text)).digest for key in ("coarse", "question")
    ]
    head, coarse, question, empty, total = out
    assert head.split() == [
        "dataset",
        "sampling",
        "backbone",
        "prompt",
        "rows",
        "failed",
        "size",
        "state",
        "stored",
        "digest",
    ]
    assert coarse.split()[:8] == ["toys", "segment-24-8", "toy", "coarse", "256", "of", "300", "0"]
    assert question.split()[:6] == ["toys", "segment-24-8", "toy", "question", "300", "3"]
    assert [line.split()[-1] for line in (coarse, question)] == [digest[:12] for digest in digests]
    for name in ("rows", "failed", "size"):
        place = head.index(name) + len(name)
        assert all(line[place - 1] != " " and line[place] == " " for line in (head, coarse, question))
    assert empty == ""
    assert total.startswith("2 stores, ")
    assert total.endswith("(1 open)")


def test_ls_changes_nothing(run, root):
    before = tree(root)
    run("ls", root)
    assert tree(root) == before


def test_ls_as_json(run, whole):
    code, out, _ = run("ls", whole, "--json")
    found = json.loads("\n".join(out))
    assert code == 0
    assert [store["path"] for store in found["stores"]] == [f"{BELOW}/coarse.zarr", f"{BELOW}/question.zarr"]
    files = [path for path in whole.rglob("*") if path.is_file() and path.parent.name != "segment-24-8"]
    assert found["bytes"] == sum(path.stat().st_size for path in files)
    assert found["stores"][1]["n_failed"] == 3


def test_ls_of_a_damaged_store_goes_on_and_says_why(run, root):
    (root / BELOW / "coarse.zarr" / "zarr.json").write_text("{")
    code, out, _ = run("ls", root)
    assert code == 0
    assert out[1].split()[3:] == ["coarse", "?", "?", "?", "unreadable", "?", "?"]
    assert any(line.startswith(f"{BELOW}/coarse.zarr: ") and "is not valid JSON" in line for line in out)
    edit_json(records_of(root / BELOW / "question.zarr") / "000001.json", lambda record: record.update(rows=[0, 9]))
    assert "committed (!)" in run("ls", root)[1][2]


def test_ls_save_writes_a_catalog(run, root):
    code, out, _ = run("ls", root, "--save")
    assert code == 0
    assert out[-1] == f"Written: {root / 'catalog.json'}"
    assert len(json.loads((root / "catalog.json").read_text())["stores"]) == 2


def test_ls_of_an_empty_root_and_of_a_store(refused, whole, tmp_path):
    assert "holds no feature store yet" in refused("ls", tmp_path)
    store = whole / BELOW / "question.zarr"
    assert refused("ls", store) == f"{store} is a store, no root; use 'vadprobe show {store}'."


@pytest.mark.parametrize("name", ["question", "question.zarr"])
def test_show_tells_everything(run, whole, name):
    code, out, _ = run("show", whole / BELOW / name)
    text = "\n".join(out)
    spec = feature_spec(clip_table(N_CLIPS))
    assert code == 0
    for words in (
        f"{BELOW}/question.zarr",
        "committed, 300 of 300 rows (2 of 2 partitions), 3 failed",
        spec.digest,
        f"300 clips of 3 videos, digest {spec.clips_digest}",
        "segments of 24 frames, 8 frames shown of each",
        PROMPT.text,
        "recipe.frame_size",
        "torch 2.13.0",
        "300 x 2 x 3 x 4",
        "256 x 1 x 1 x 4",
        "2 rows, first row 7 (video 0, frames 168-191):\n    the video ended early",
        "1 row, first row 290 (video 2, frames 2160-2183):\n    cannot be decoded",
    ):
        assert words in text
    assert text.index("2 rows, first") < text.index("1 row, first")


def test_show_tells_where_the_time_of_extractions_went(run, root):
    store = root / BELOW / "question.zarr"
    seconds = {"model": 5.0, "decoding": 1.0, "writing": 0.0}
    spec = StoreHeader.read(store).spec
    total = spec.backbone.n_layers
    passes = [PassTimings(("question",), blocks, 10, 3.0, seconds, (2, 8)) for blocks in (1, total)]
    RunTimings("a" * 32, "", "a GPU", "bfloat16", 9.0, {"question": spec.digest}, tuple(passes)).write(store.parent)
    _, out, _ = run("show", store)
    place = out.index("Extraction")
    times = "2, 8 at once: model 0.5000 s a clip; waited 0.1000 s for frames, 0.0000 s for the disk"
    assert out[place + 1] == "  on a GPU in bfloat16"
    assert out[place + 2] == f"    10 clips, 1 prompt a pass, 1 of {total} blocks, {times}"
    assert out[place + 3] == f"    10 clips, 1 prompt a pass, all blocks, {times}"
    _, out, _ = run("show", root / BELOW / "coarse.zarr")
    assert "Extraction" not in out


def test_the_python_that_show_prints_runs(run, whole):
    _, out, _ = run("show", whole / BELOW / "question")
    names: dict[str, object] = {}
    exec("\n".join(line.strip() for line in out[out.index("Open it in Python") + 1 :]), names)
    assert names["values"].shape == (10, 1, 4)


def test_show_as_json(run, whole):
    code, out, _ = run("show", whole / BELOW / "question", "--json")
    found = json.loads("\n".join(out))
    store = whole / BELOW / "question.zarr"
    assert code == 0
    assert found["specification"] == feature_spec(clip_table(N_CLIPS)).to_json()
    assert found["failed"][0] == {
        "reason": "the video ended early",
        "rows": 2,
        "first_row": 7,
        "first_video": "video 0",
        "first_frames": [168, 192],
    }
    for array in found["arrays"]:
        shards = [path for path in (store / array["name"] / "c").rglob("*") if path.is_file()]
        values = 300 * {"hidden_states": 18, "head_outputs": 24, "answer_logits": 2}[array["name"]]
        assert array["bytes"] == sum(path.stat().st_size for path in shards)
        assert array["bytes_per_value"] == pytest.approx(array["bytes"] / values)
        assert json.loads((store / array["name"] / "zarr.json").read_text())["shape"] == array["shape"]


def test_show_without_clip_table_says_so_and_goes_on(run, root):
    (root / "toys" / "segment-24-8" / "clips.parquet").unlink()
    code, out, _ = run("show", root / BELOW / "question")
    assert code == 0
    assert any(line.startswith("! no clip table at") for line in out)
    assert "  2 rows, first row 7:" in out


def test_show_of_a_part(run, root):
    contents = {"layers": [0, 2], "heads": [[1, 2]], "full_partitions": [0]}
    path = root / BELOW / "question.zarr" / "zarr.json"
    edit_json(path, lambda value: value["attributes"]["vadprobe"].update(contents=contents))
    _, out, _ = run("show", root / BELOW / "question")
    lines = [" ".join(line.split()) for line in out]
    for line in ("layers 0, 2", "heads 1.2 (block.head)", "all of both in partitions 0"):
        assert line in lines


@pytest.mark.parametrize(
    ("below", "words"),
    [
        (
            "",
            "is not a store, but holds 2 stores: toys/segment-24-8/toy/coarse, toys/segment-24-8/toy/question. Name",
        ),
        ("toys", "segment-24-8/toy/question. Name one of them: 'vadprobe show {root}/toys/segment-24-8/toy/coarse'."),
        (BELOW, "holds 2 stores: coarse, question. Name one of them: 'vadprobe show {root}/toys/"),
        (f"{BELOW}/questoin", "Did you mean '{root}/toys/segment-24-8/toy/question'?"),
        (f"{BELOW}/xyz", "there is no 'xyz' in {root}/toys/segment-24-8/toy. It holds coarse, question."),
        ("toyz/segment-24-8/toy/question", "there is no 'toyz' in {root}. Did you mean '{root}/toys'?"),
        (f"{BELOW}/question.records", "use 'vadprobe show {root}/toys/segment-24-8/toy/question.zarr'"),
        (f"{BELOW}/question.zarr/head_outputs", "is a part of the store {root}/toys/segment-24-8/toy/question.zarr"),
        (f"{BELOW}/question.zarr/head_outputs/c/0", "is a part of the store"),
        ("toys/segment-24-8/clips.parquet", "is a file, not a store; a store is named as ROOT/DATASET/"),
    ],
)
def test_what_is_no_store_is_named_with_the_right_command(refused, whole, below, words):
    assert words.format(root=whole) in refused("show", whole / below)


def test_show_of_a_damaged_attribute_is_a_sentence(refused, root):
    path = root / BELOW / "question.zarr" / "zarr.json"
    edit_json(path, lambda value: value["attributes"]["vadprobe"]["spec"].update(dataset="else"))
    assert "the attributes were edited" in refused("show", root / BELOW / "question")


def test_diff_has_three_exit_codes(run, whole, root):
    same, store = root / BELOW / "question", whole / BELOW / "question.zarr"
    code, out, _ = run("diff", store, same)
    assert (code, out[-1]) == (0, "The same; values were not compared (--values).")
    code, out, _ = run("diff", store, same, "--values")
    assert (code, out[-1]) == (0, "The same.")
    code, out, _ = run("diff", store, whole / BELOW / "coarse")
    assert (code, out[-1]) == (1, "Different.")
    assert "  prompt.key: 'question', not 'coarse'" in out
    again = Path(shutil.copytree(root, root.with_name("again"))) / BELOW / "question.zarr"
    for path in (root / BELOW / "question.zarr", again):
        edit_json(records_of(path) / "000000.json", lambda value: value.update(rows=[0, 9]))
    code, out, _ = run("diff", same, again)
    assert (code, out[-1]) == (2, "Cannot tell.")


def test_diff_as_json(run, whole):
    code, out, _ = run("diff", whole / BELOW / "question", whole / BELOW / "coarse", "--values", "--json")
    found = json.loads("\n".join(out))
    assert (code, found["verdict"]) == (1, "different")
    assert found["specification"] == ["prompt.key: 'question', not 'coarse'"]
    assert found["failed_rows"] == ["3 rows only in A, first row 7: the video ended early"]
    assert [(array["array"], array["nan_in_one"]) for array in found["values"]] == [
        ("hidden_states", 2 * 18),
        ("head_outputs", 2 * 24),
        ("answer_logits", 2 * 2),
    ]


def test_diff_of_a_wrong_name(refused, whole):
    assert "Did you mean" in refused("diff", whole / BELOW / "question", whole / BELOW / "coarze")


@pytest.mark.parametrize("below", [BELOW, f"{BELOW}/question", f"{BELOW}/question.zarr"])
def test_card_by_store_and_by_folder(run, root, below):
    code, out, _ = run("card", root / below)
    assert (code, out) == (0, [f"Written: {root / BELOW / 'README.md'}"])
    assert run("verify", root / BELOW / "question.zarr")[0] == 0
    assert len(run("ls", root)[1]) == 5


def test_card_leaves_a_readme_of_the_users_own(refused, root):
    (root / BELOW / "README.md").write_text("ours")
    assert "was not changed" in refused("card", root / BELOW)


def test_gc_lists_first_and_removes_with_yes(run, root):
    (root / BELOW / "gone.records").mkdir()
    (root / BELOW / "gone.records" / "000000.json").write_bytes(b"1" * 1500)
    before = tree(root)
    code, out, _ = run("gc", root)
    assert code == 0
    assert out[0] == "These would be removed:"
    assert " ".join(out[2].split()) == f"records 1.50 kB 1 record of a store that is gone {BELOW}/gone.records"
    assert out[-1] == f"1 leftover, 1.50 kB. Nothing was removed; 'vadprobe gc {root} --yes' removes what is listed."
    assert tree(root) == before
    code, out, _ = run("gc", root, "--yes")
    assert code == 0
    assert out[-1] == "1 leftover removed, 1.50 kB."
    assert not (root / BELOW / "gone.records").exists()
    assert run("gc", root)[1] == [f"There is nothing to remove in {root}."]


def test_gc_of_no_root_and_of_a_url(refused, root):
    assert "Did you mean" in refused("gc", root.with_name("feature"))
    assert "cannot list files; run 'vadprobe gc' on a machine" in refused("gc", "http://host/features")
