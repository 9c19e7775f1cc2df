"""``vadprobe verify`` as its users meet it: targets, exit codes, what is printed and written, progress."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.builders import (
    PROMPT,
    clip_table,
    committed_store,
    feature_spec,
    features,
    planned_store,
    store_path,
)
from vadprobe.flows.commands import verify as verify_command
from vadprobe.flows.commands.options import stores_of
from vadprobe.flows.commands.verify import add_verify_command, mend
from vadprobe.store.claims.claims import Claims
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.format.layout import clips_of, records_of
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.verification.resume_log import log_of
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing.writer import plan

N_CLIPS = 300


def second_prompt(root):
    """A store of another prompt beside that of ``committed_store``."""
    clips = clip_table(N_CLIPS)
    spec = feature_spec(clips, prompt=Prompt("coarse", PROMPT.text))
    writer = plan(store_path(root, spec), spec, clips)
    for partition in range(writer.n_partitions):
        writer.write_partition(partition, features(spec, partition))
    writer.commit()
    return writer.path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A root with two stores. Nothing may change it."""
    root = tmp_path_factory.mktemp("whole")
    committed_store(root, N_CLIPS)
    second_prompt(root)
    return root


@pytest.fixture
def root(tmp_path, whole):
    """A copy of that root that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "root"))


@pytest.fixture
def run(capsys):
    """Run the command: (exit code, standard output, standard error)."""

    def run_command(*words):
        parser = argparse.ArgumentParser()
        add_verify_command(parser.add_subparsers())
        options = parser.parse_args(["verify", *map(str, words)])
        code = options.command(options)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


def stores(root):
    return sorted(root.rglob("*.zarr"))


def flip(path, position=60):
    changed = bytearray(path.read_bytes())
    changed[position] ^= 1
    path.write_bytes(changed)


def shard(store, partition):
    return store / "answer_logits" / "c" / str(partition) / "0"


def test_sound_stores_below_a_folder(run, root):
    code, out, err = run(root)
    assert code == 0
    assert [line.split(": ")[0] for line in out.splitlines()] == [str(store) for store in stores(root)]
    assert out.count("300 rows (0 failed)") == out.count("MB read: sound") == 2
    assert "verifying: 100%" in err
    assert "problems=0" in err


def test_one_store_by_its_path(run, root):
    code, out, _ = run(stores(root)[1])
    assert code == 0
    assert len(out.splitlines()) == 1


def test_problems_are_listed_with_what_to_redo(run, root):
    flip(shard(stores(root)[0], 1))
    code, out, err = run(root)
    assert code == 1
    assert f"{stores(root)[0]}: partition 1: the shard of answer_logits was changed" in out
    assert f"{stores(root)[0]}: partitions to redo: 1\n" in out
    assert "'vadprobe extract --repair' would do this:\n" in out
    assert "1 partitions are reset" in out
    assert f"{stores(root)[1]}: 300 rows (0 failed)" in out  # the other one is read all the same
    assert "problems=1" in err


def test_as_json(run, root, tmp_path):
    flip(shard(stores(root)[0], 1))
    code, out, _ = run(root, "--json", "-")
    assert code == 1
    content = json.loads(out)
    assert content["sound"] is False
    first, second = content["stores"]
    assert (first["store"], first["sound"], first["redo"]) == (str(stores(root)[0]), False, [1])
    assert first["problems"][0]["remedy"] == "recompute"
    assert first["problems"][0]["files"] == [str(shard(stores(root)[0], 1))]
    assert first["repair"]["partitions"] == [1]
    assert len(first["repair"]["removes"]) == 4
    assert (second["sound"], second["redo"], second["rows"], second["partitions"]) == (True, [], 300, 2)
    code, out, _ = run(root, "--json", tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text()) == content
    assert "partitions to redo" in out


@pytest.mark.parametrize("words", [["missing"], ["missing.zarr"], ["."], [".", "--workers", "0"]])
def test_wrong_input_is_refused_in_a_sentence(run, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VadprobeError, match=r"\.$"):
        run(*words)


def test_a_job_file_that_is_none_is_refused(run, tmp_path):
    (tmp_path / "job.toml").write_text("[store]\n")
    with pytest.raises(VadprobeError, match=r"job\.toml"):
        run(tmp_path / "job.toml")


def test_stores_that_lost_their_group_are_not_passed_over(run, root):
    one, other = stores(root)
    shutil.rmtree(one)
    (other / "zarr.json").unlink()
    assert stores_of(root) == [one, other]
    assert stores_of(one) == [one]
    code, out, _ = run(root)
    assert code == 1
    assert out.count("no feature store at") == 4  # as a problem, and in what is left to a person
    assert "The specification is restored from a copy" in out


def test_half_made_stores_and_folders_inside_stores_are_no_stores(root):
    found = stores(root)
    shutil.copytree(found[0], found[0].with_name("coarse.zarr.77.partial"))
    (found[0] / "hidden_states" / "inner.zarr").mkdir()
    assert stores_of(root) == found


def test_resuming_says_what_was_read_before(run, root, monkeypatch):
    store = stores(root)[0]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(store, stop)
    code, out, err = run(store, "--resume")
    assert code == 0
    assert "1 partitions were read before: sound" in out
    assert "verifying: 100%" in err


def test_stores_are_read_by_several_threads(run, root, monkeypatch):
    monkeypatch.setattr(verify_command, "_workers", lambda: 2)
    flip(shard(stores(root)[1], 0))
    code, out, _ = run(root)
    assert code == 1
    assert f"{stores(root)[1]}: partitions to redo: 0" in out
    assert run(root, "--workers", 3)[0] == 1


def test_mending_takes_back_what_extraction_computes_again(root, capsys):
    flip(shard(stores(root)[0], 1))
    flip(stores(root)[1] / "layer" / "c" / "0", 20)
    plans = mend([*stores(root), root / "not-planned-yet.zarr"])
    assert [plan.partitions for plan in plans] == [(1,), ()]
    assert "is written again from what the rest of the store says" in capsys.readouterr().out
    assert [verify(store).redo for store in stores(root)] == [(1,), ()]
    assert verify(stores(root)[1]).problems == ()
    second_prompt(root)
    assert mend(stores(root)) == []


def test_mending_refuses_beside_another_worker(root):
    flip(shard(stores(root)[0], 1))
    with Claims(stores(root)[0].parent).hold(1), pytest.raises(StoreError, match="written by another worker"):
        mend(stores(root))
    assert (records_of(stores(root)[0]) / "000001.json").exists()


def test_a_lost_clip_table_is_a_problem_of_every_store(run, root):
    clips_of(stores(root)[0]).unlink()
    code, out, _ = run(root)
    assert code == 1
    assert out.count("store: no clip table at") == 2


def test_a_store_that_is_not_finished_lists_what_is_missing(run, tmp_path):
    writer = planned_store(tmp_path, N_CLIPS)
    writer.write_partition(0, features(writer.spec, 0))
    code, out, _ = run(tmp_path)
    assert code == 1
    assert "not committed" in out
    assert "partitions to redo: 1\n" in out
    assert "--repair" not in out  # there is nothing to take back


COMMAND = """
import argparse, sys
from vadprobe.flows.commands import verify as verify_command
verify_command.stores_of = lambda target: [target] * 500
parser = argparse.ArgumentParser()
verify_command.add_verify_command(parser.add_subparsers())
options = parser.parse_args(["verify", *sys.argv[1:]])
options.command(options)
"""


@pytest.mark.parametrize("workers", [1, 3])
def test_ctrl_c_leaves_a_log_to_resume_from(root, workers):
    store = stores(root)[0]
    command = [sys.executable, "-c", COMMAND, str(store), "--workers", str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    assert b"sound" in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert err.count(b"KeyboardInterrupt\n") == 1, err.decode()  # of the one process that the user started
    assert err.rstrip().endswith(b"KeyboardInterrupt")
    assert verify(store, resume=True).problems == ()
    assert not log_of(store).exists()


def test_samplings_and_backbones_below_one_root_are_all_found(tmp_path):
    committed_store(tmp_path, 3)
    clips = clip_table(3)
    spec = feature_spec(clips)
    spec = replace(spec, backbone=replace(spec.backbone, key="other"))
    writer = plan(store_path(tmp_path, spec), spec, clips)
    writer.write_partition(0, features(spec, 0))
    writer.commit()
    assert len(stores_of(tmp_path)) == 2
