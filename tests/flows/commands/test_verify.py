"""`vadprobe verify` as its users meet it: targets, exit codes, what is printed and written, progress."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.builders import PROMPT, committed_store, features, planned_store
from vadprobe.flows.commands import verify as verify_command
from vadprobe.flows.commands.options import stores_of
from vadprobe.flows.commands.verify import repair
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.verification.resume_log import log_of
from vadprobe.store.verification.verify import verify

N_CLIPS = 300


def second_prompt(root):
    """A store of another prompt beside that of `committed_store`."""
    return committed_store(root, N_CLIPS, prompt=Prompt("coarse", PROMPT.text)).path


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
def run(run):
    """Run the command: (exit code, standard output, standard error)."""
    return lambda *words: run("verify", *words)


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
    assert out.count("300 rows (0 failed)") == out.count("B read: sound") == 2
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
    assert "1 partition is reset" in out
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
def test_wrong_input_is_refused_in_a_sentence(refused, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert refused(*words).endswith(".")


def test_a_job_file_that_is_none_is_refused(refused, tmp_path):
    (tmp_path / "job.toml").write_text("[store]\n")
    assert "job.toml" in refused(tmp_path / "job.toml")


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


def test_resuming_says_what_was_read_before(run, root, monkeypatch):
    store = stores(root)[0]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(store, stop)
    code, out, err = run(store, "--resume")
    assert code == 0
    assert "1 partition was read before: sound" in out
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
    plans = repair([*stores(root), root / "not-planned-yet.zarr"])
    assert [plan.partitions for plan in plans] == [(1,), ()]
    assert "is written again from what the rest of the store says" in capsys.readouterr().out
    assert [verify(store).redo for store in stores(root)] == [(1,), ()]
    assert verify(stores(root)[1]).problems == ()
    second_prompt(root)
    assert repair(stores(root)) == []


def test_a_store_that_is_not_finished_lists_what_is_missing(run, tmp_path):
    writer = planned_store(tmp_path, N_CLIPS)
    writer.write_partition(0, features(writer.spec, 0))
    code, out, _ = run(tmp_path)
    assert code == 1
    assert "not committed" in out
    assert "partitions to redo: 1\n" in out
    assert "--repair" not in out  # there is nothing to take back


COMMAND = """
import sys
from vadprobe.flows.commands import verify as verify_command
from vadprobe.flows.command_line import main
verify_command.stores_of = lambda target: [target] * 500
sys.exit(main(["verify", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("workers", [1, 3])
def test_ctrl_c_leaves_a_log_to_resume_from(root, workers):
    store = stores(root)[0]
    command = [sys.executable, "-c", COMMAND, str(store), "--workers", str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    assert b"sound" in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err.count(b"vadprobe: interrupted") == 1, err.decode()  # by the one process that the user started
    assert b"Traceback" not in err
    assert verify(store, resume=True).problems == ()
    assert not log_of(store).exists()
