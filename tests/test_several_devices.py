"""Stage 1 with a process for each of several devices."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from vadprobe.flows.command_line import main
from vadprobe.flows.several_devices import devices_of
from vadprobe.store.comparison import compare
from vadprobe.store.errors import VadprobeError

JOB = """
workspace = "."
prompts = ["coarse", "detailed"]
[dataset]
name = "set"
videos = "videos"
[store]
root = "features"
[backbone]
key = "tiny"
path = "{backbone}"
dtype = "float32"
frame_size = [28, 28]
[extraction]
device = "cpu"
threads = 1
[[sampling]]
unit = "segment"
clip_length = 2
frames_per_clip = 2
"""


@pytest.fixture
def job(tmp_path: Path, tiny_backbones: Mapping[str, Path], write_video: Callable[..., Path]) -> Path:
    """Four partitions: two long videos, and one that cannot be read."""
    (tmp_path / "videos").mkdir()
    for name in ("a", "b"):
        write_video(tmp_path / "videos" / f"{name}.mp4", 900, height=32, width=32)
    (tmp_path / "videos" / "empty.mp4").write_bytes(b"")
    path = tmp_path / "job.toml"
    path.write_text(JOB.format(backbone=tiny_backbones["qwen2_5_vl"]))
    return path


def processes_below(folder: Path) -> list[int]:
    """Processes whose command line names the folder, without our own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:  # ended in between
            continue
    return found


@pytest.mark.slow
def test_two_processes_write_the_store_that_one_writes(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", str(job)]) == 3  # one video cannot be read
    one = job.parent / "one"
    (job.parent / "features").rename(one)
    assert main(["extract", str(job), "--devices", "cpu", "cpu"]) == 3
    captured = capsys.readouterr()
    assert captured.out.count("cpu: ") == 2
    assert "Worked on 900 of 900 clips; 4 partitions are committed." in captured.out
    assert "Video not readable: empty: the file is empty (0 bytes)" in captured.out
    assert "900/900" in captured.err
    for prompt in ("coarse", "detailed"):
        name = f"set/segment-2-2/tiny/{prompt}.zarr"
        assert compare(one / name, job.parent / "features" / name, values=True).verdict == 0
    assert main(["extract", str(job), "--devices", "cpu", "cpu"]) == 3
    assert "Nothing to compute" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_processes_and_the_work_goes_on_later(
    job: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "vadprobe.flows.command_line", "extract", str(job), "--devices", "cpu", "cpu"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    end = time.monotonic() + 60
    while not list(job.parent.glob("features/set/segment-2-2/tiny/coarse.records/*.json")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on where it stopped" in err
    assert "Traceback" not in err
    assert processes_below(job.parent) == []
    assert not list(job.parent.rglob(".claims"))
    assert main(["extract", str(job)]) == 3  # one video cannot be read
    assert main(["verify", str(job)]) == 0


@pytest.mark.slow
def test_the_partition_of_a_killed_process_is_taken_over(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "vadprobe.flows.command_line", "extract", str(job), "--devices", "cpu", "cpu"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while len(list(job.parent.glob("features/set/segment-2-2/tiny/.claims/*.1"))) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    workers = [number for number in processes_below(job.parent) if number != process.pid]
    os.kill(workers[0], signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 3  # one video cannot be read
    assert "The process on cpu was ended by signal 9." in err
    assert "4 partitions are committed" in out
    assert main(["verify", str(job)]) == 0


@pytest.mark.slow
def test_processes_that_all_fail_are_named_with_their_reason(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(job)]) == 0
    backbone = job.parent / "backbone"
    text = job.read_text()
    source = text.split('path = "')[1].split('"')[0]
    shutil.copytree(source, backbone)
    job.write_text(text.replace(source, str(backbone)))
    weights = next(backbone.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    shutil.rmtree(job.parent / "features")
    assert main(["extract", str(job), "--devices", "cpu", "cpu"]) == 2
    err = capsys.readouterr().err
    assert (
        "4 partitions are left to compute. The process on cpu ended with exit code 2: the checkpoint of backbone" in err
    )
    assert "Traceback" not in err


def test_devices_are_looked_at_before_anything_is_done(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", str(job), "--devices", "cpu", "cdua:1"]) == 2
    assert "device 'cdua:1' cannot be used" in capsys.readouterr().err
    assert not (job.parent / "features").exists()


def test_all_devices_are_those_torch_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert devices_of(["all"]) == ["cuda:0", "cuda:1", "cuda:2"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(VadprobeError, match="torch sees no GPU here"):
        devices_of(["all"])
