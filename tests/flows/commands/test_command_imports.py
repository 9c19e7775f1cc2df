"""Imports of short commands: a library that takes tenths of a second is loaded only by what computes with it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.commands.conftest import Run
from tests.support.planted import blank_pictures, write_planted

# Runs commands in turn, and prints after each which top-level packages are loaded by then.
PROGRAM = """
import contextlib, io, json, sys
from vadprobe.flows.command_line import main
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(words)
    print(json.dumps([code, sorted({name.split('.')[0] for name in sys.modules})]))
"""
HEAVY = {"torch", "transformers", "sklearn", "zarr", "matplotlib", "dask", "distributed", "prefect", "av", "decord"}


def test_short_commands_load_only_what_they_need(job: Callable[..., Path], run: Run, tmp_path: Path) -> None:
    extracted, planted = job(), write_planted(tmp_path / "planted")
    run("extract", extracted)
    with blank_pictures():
        assert run("analyze", planted.job("hiprobe"))[0] == 0
    (store,) = tmp_path.glob("features/*/*/*/coarse.zarr")
    videos, detector = tmp_path / "videos", planted.job("hiprobe").parent / "hiprobe" / "detector.json"
    refused = {  # in under a second
        f"detect none.mp4 --detector {detector}": HEAVY - {"av"},
        f"detect {videos} --detector none.json": HEAVY - {"av"},
        f"detect {videos} --detector {detector} --backbone none": HEAVY - {"av"},
    }
    commands = {
        "--help": HEAVY | {"numpy", "pyarrow", "pydantic"},
        "--version": HEAVY | {"numpy", "pyarrow", "pydantic"},
        f"ls {tmp_path / 'features'}": HEAVY | {"pandas", "scipy", "numcodecs"},
        f"show {store}": HEAVY | {"pandas", "scipy", "numcodecs"},
        f"plan {extracted}": HEAVY | {"pandas", "scipy", "numcodecs"},
        f"extract {extracted}": HEAVY | {"pandas", "scipy", "numcodecs"},
        f"analyze {planted.job('hiprobe')}": HEAVY,
        **refused,
    }
    words = json.dumps([command.split() for command in commands])
    done = subprocess.run([sys.executable, "-c", PROGRAM, words], capture_output=True, text=True, check=True)
    for (command, unwanted), line in zip(commands.items(), done.stdout.splitlines(), strict=True):
        code, loaded = json.loads(line)
        assert (code, unwanted & set(loaded)) == (2 if command in refused else 0, set()), command


def test_a_checkpoint_that_changed_is_described_again(
    job: Callable[..., Path], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from vadprobe.extract.model import backbone

    described = []
    describe = backbone.describe
    monkeypatch.setattr(backbone, "describe", lambda *given: described.append(given) or describe(*given))
    path = job()
    original = Path(path.read_text().split('path = "')[1].split('"')[0])
    shutil.copytree(original, tmp_path / "checkpoint")
    path.write_text(path.read_text().replace(str(original), "checkpoint"))
    first = run("plan", path)
    assert run("plan", path)[:2] == first[:2]
    assert len(described) == 1
    config = tmp_path / "checkpoint" / "generation_config.json"
    config.write_text(config.read_text().replace("{", "{ ", 1))  # another byte, and so another digest of the checkpoint
    code, _, said = run("plan", path)
    assert code == 2
    assert "backbone.revision" in said
    assert len(described) == 2
    weights = tmp_path / "checkpoint" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    assert "is cut" in run("plan", path)[2]
    (kept,) = (tmp_path / "steps" / "backbone").iterdir()
    kept.write_text("{")
    assert "is cut" in run("plan", path)[2]
