"""`vadprobe detect` that is killed or interrupted, and standard input that is closed."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes.streams import Answer, http_stream
from tests.support.processes.waiting import wait_until
from tests.support.videos.drawn import write

PROGRAM = "import sys; from vadprobe.flows.command_line import main; sys.exit(main(sys.argv[1:]))"


def command(*words: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, "detect", *map(str, words)]


@contextmanager
def half_way(out: Path, *words: object) -> Iterator["subprocess.Popen[str]"]:
    """Start a detection; it has written some segments, and waits for more."""
    with subprocess.Popen(
        command(*words, "--out", out), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            wait_until(lambda: process.poll() is not None or len(lines(out / "scores.jsonl")) >= 3)
            assert process.poll() is None, process.communicate()[0]
            yield process
        finally:
            process.kill()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.slow
def test_killed_or_interrupted_files_are_valid_and_the_next_run_says_what_it_does(
    refused: Any, fitted: Path, tmp_path: Path
) -> None:
    content, release = write(tmp_path / "camera.ts", 60).read_bytes(), threading.Event()
    out = tmp_path / "out"
    with http_stream(lambda _: Answer(content, holds=release)) as stream:
        words = (stream.url, "--detector", fitted, "--device", "cpu", "--threads", 1, "--timeout", 600)
        with half_way(out, *words) as process:
            process.kill()
            process.wait()
        assert {path.name for path in out.iterdir()} == {"scores.jsonl", "events.jsonl"}
        assert (out / "scores.jsonl").read_bytes().endswith(b"\n")
        assert [row["segment"] for row in lines(out / "scores.jsonl")] == list(range(len(lines(out / "scores.jsonl"))))
        assert all(row["stop_frame"] > row["start_frame"] for row in lines(out / "events.jsonl"))
        told = refused("detect", *words, "--out", out)
        assert "holds a detection that was cut off, or still runs (scores.jsonl, events.jsonl)" in told
        assert "begin anew with --overwrite" in told
        (out / "scores.jsonl").write_text("{}\n")  # so that lines are those of the next run
        with half_way(out, *words, "--overwrite") as process:
            process.send_signal(signal.SIGINT)
            printed = process.communicate()[0]
        release.set()
    assert process.returncode == 130, printed
    assert "Interrupted: these results are of what was read before" in printed
    assert "Traceback" not in printed
    summary = json.loads((out / "summary.json").read_text())
    assert summary["interrupted"] is True
    assert summary["videos"][0]["n_segments"] == len(lines(out / "scores.jsonl")) >= 3
    assert len((out / "events.csv").read_text().splitlines()) == 1 + len(lines(out / "events.jsonl"))
    assert list(out.glob("pictures/*/curve.png"))
    assert "holds an earlier detection (" in refused("detect", *words, "--out", out)


def test_closed_standard_input_is_a_sentence(
    refused: Any, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # what Python makes of a closed one
    told = refused("detect", "-", "--detector", fitted, "--out", tmp_path / "out", "--device", "cpu")
    assert told == "'-' reads standard input, which is closed; pipe a video into it, or name a file."
    assert not (tmp_path / "out").exists()
