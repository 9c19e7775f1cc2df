"""Commands as programs read them: one JSON value on standard output, and a documented exit code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.flows.commands.conftest import Run
from tests.support.paths import ROOT
from tests.support.planted import write_planted
from tests.support.samples.detectors import write_detector
from vadprobe.flows.command_line import EXIT_CODES
from vadprobe.flows.jobs.job import load_job


def test_commands_print_one_json_value_and_end_with_a_documented_code(
    job: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    path = job()
    codes: set[int] = set()

    def read(*words: object, expected: int = 0) -> Any:
        code, out, err = run(*words)
        codes.add(code)
        assert code == expected, err
        return json.loads(out)

    planned = read("plan", path, "--json")
    assert planned["clips_to_compute"] == 6
    assert [one["pending_partitions"] for one in planned["samplings"]] == [[0]]
    assert planned["samplings"][0]["stores"] == [str(load_job(path).stores[0])]
    (tmp_path / "videos" / "empty.mp4").write_bytes(b"")
    extracted = read("extract", path, "--json", expected=3)
    assert (extracted["n_computed"], extracted["unreadable_videos"]) == (6, {"empty": "the file is empty (0 bytes)"})
    store = load_job(path).stores[0]
    assert read("ls", tmp_path / "features", "--json")["stores"]
    assert read("show", store, "--json")
    assert read("verify", store, "--json", "-")["sound"] is True
    detector = write_detector(path, tmp_path / "detector.json")
    words = ["detect", tmp_path / "videos" / "clip0.mp4", "--detector", detector, "--out", tmp_path / "found"]
    found = read(*words, "--device", "cpu", "--threads", 1, "--json")
    assert [video["n_segments"] for video in found["videos"]] == [3]
    assert found == json.loads((tmp_path / "found" / "summary.json").read_text())

    record = next((tmp_path / "features").rglob("000000.json"))
    record.write_text(record.read_text().replace('"partition"', '"partitions"'))
    assert read("verify", store, "--json", "-", expected=1)["sound"] is False
    code, out, err = run("plan", tmp_path / "none.toml", "--json")
    assert (code, out) == (2, "")
    assert err.startswith("vadprobe: ")
    assert {*codes, code} == {0, 1, 2, 3}  # 130 and 141 end other tests
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    assert all(f"| {number} | {text} |" in page for number, text in EXIT_CODES.items())


def test_results_are_one_json_value(run: Run, tmp_path: Path) -> None:
    path = write_planted(tmp_path).job("hiprobe")
    path.write_text(path.read_text().replace("workers = 0", "workers = 0\ncurves = 0\nevaluation = {resamples = 20}"))
    code, out, _ = run("analyze", path, "--json")
    found = json.loads(out)
    assert (code, found["preset"]) == (0, "hiprobe")
    assert found["auc"] == json.loads(Path(found["report"]).with_name("results.json").read_text())["results"][0]["auc"]
    assert "probe" in found["computed"]
