"""Findings about the machine: every state of every part, with what to do."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.support.processes.remote_servers import Faults, bucket_at_hand
from vadprobe.flows.commands.setup.diagnosis import decoders, devices, engines, packages, places
from vadprobe.flows.commands.setup.diagnosis.finding import Finding, lines
from vadprobe.store.files.location import location


def test_an_extra_that_lacks_a_package_is_a_note_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    known = packages._version
    monkeypatch.setattr(packages, "_version", lambda name: None if name == "obstore" else known(name))
    found = {finding.part: finding for finding in packages.package_findings()}
    assert found["[remote]"].state == "note"
    assert "obstore missing" in found["[remote]"].text
    assert found["[remote]"].cure.startswith("pip install 'vadprobe[remote]'")
    assert found["[extract]"].state == "good"
    assert f"torch {torch.__version__.split('+')[0]}" in found["[extract]"].text


def test_a_gpu_that_torch_cannot_use_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    *_, unused = devices.device_findings(["H200, 143771 MiB, 580.1"])
    assert (unused.state, "a CPU build, does not use what the driver finds: H200" in unused.text) == ("problem", True)
    assert "CUDA build of torch" in unused.cure
    monkeypatch.setattr(torch.version, "cuda", "13.0")

    def fail(*size: int, device: str) -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old\nmore")

    monkeypatch.setattr(torch, "zeros", fail)
    *_, refused = devices.device_findings(["H200, 143771 MiB, 580.1"])
    assert refused.state == "problem"
    assert refused.text.endswith("cannot use the 1 GPU of this machine: The NVIDIA driver on your system is too old")
    *_, none = devices.device_findings([])
    assert none.state == "note"


def test_every_reader_reads_the_small_video_and_a_broken_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *readers = decoders.decoder_findings()
    assert first.state == "good"
    assert {finding.state for finding in readers} == {"good"}
    assert "12 frames at 25 frames/s, by PyAV" in readers[0].text
    monkeypatch.setattr(decoders, "_small_video", lambda folder: folder / "nothing.mp4")
    assert [finding.state for finding in decoders.decoder_findings()][1:] == ["problem"] * len(readers)


@pytest.fixture
def answering() -> Iterator[str]:
    """The address of a server that is healthy at /api and knows nothing else."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_server_of_prefect_answers_or_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, answering: str
) -> None:
    def state(url: str) -> Finding:
        monkeypatch.setenv("PREFECT_API_URL", url)
        (finding,) = engines.engine_findings()
        return finding

    assert state(f"{answering}/api").state == "good"
    assert "answers 404 for /health" in state(answering).text
    gone = state("http://somebody:secret@127.0.0.1:9/api")
    assert gone.state == "problem"
    assert "secret" not in gone.text
    assert "must be an address" in state("localhost:4200").text
    assert "server of its own" not in state(f"{answering}/api").text
    assert "starts a temporary server" in state("").text


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    good, disk = places.place_findings(tmp_path / "not" / "yet")
    assert (good.state, disk.state in ("good", "note")) == ("good", True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_bytes(b"")
    (bad,) = places.place_findings(tmp_path / "file" / "below")
    assert bad.state == "problem"


def test_a_bucket_is_tried_with_a_condition_and_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket_at_hand(Faults()) as url:
        root = location(f"{url}/features")
        assert [finding.state for finding in places.place_findings(root, write=True)] == ["good", "good"]
        assert not list(root.iterdir())
        monkeypatch.setattr(type(root), "create", lambda self, content: self.write_bytes(content))
        *_, writing = places.place_findings(root, write=True)
        assert (writing.state, "ignores the conditions" in writing.text) == ("problem", True)
        assert not list(root.iterdir())


def test_lines_put_the_cure_below_and_the_command_counts_problems(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from vadprobe.flows.command_line import main

    assert lines([Finding("a", "problem", "broken", "mend it"), Finding("bcd", "good", "works")]) == [
        "problem a    broken",
        "             -> mend it",
        "good    bcd  works",
    ]
    usage = SimpleNamespace(free=1e6)
    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert main(["doctor", "--json"]) == 1
    found = {entry["part"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["Prefect"]["state"] == "problem"
    assert found["workspace"]["state"] == "note"
    assert "1.00 MB free" in found["workspace"]["text"]
