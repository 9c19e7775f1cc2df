"""Stage 1 with a process for each of several devices."""

import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.processes import forked
from tests.support.profiles import some
from tests.support.samples import jobs
from vadprobe.flows.command_line import main
from vadprobe.flows.jobs.devices import processes, worker
from vadprobe.flows.jobs.devices.processes import devices_of
from vadprobe.store.catalog.comparison import compare
from vadprobe.store.errors import VadprobeError

MORE = '[extraction]\ndevice = "cpu"\nthreads = 1\nbatch_clips = 32'


# Workers that watch the clips they compute: one is killed at its first, so while it holds a partition; others wait at
# their first until two workers have one, so that each has a partition.
WATCHING = """
import os, signal, sys, time
from pathlib import Path
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.flows.jobs.devices import worker

folder, stream = Path(sys.argv[2]), Extractor.stream

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def meet():
    (folder / f"worker-{os.getpid()}").touch()
    end = time.monotonic() + 300
    while len(list(folder.glob("worker-*"))) < 2:
        assert time.monotonic() < end, "the other worker computes no clip"
        time.sleep(0.02)

def watched(self, units, done):
    return stream(self, units, lambda computed: (WHAT(), done(computed)))

Extractor.stream = watched
sys.exit(worker.main(*sys.argv[1:]))
"""
DYING, MEETING = (WATCHING.replace("WHAT", what) for what in ("die", "meet"))
TRUE = "import sys; from vadprobe.flows.jobs.devices import worker; sys.exit(worker.main(*sys.argv[1:]))"


@pytest.fixture(scope="module")
def write_job(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbones: Mapping[str, Path], write_video: Callable[..., Path]
) -> Callable[..., Path]:
    """Jobs of two partitions, of 256 clips and of 4, or of one of 4: two videos, and one that cannot be read."""
    folders = {n_frames: tmp_path_factory.mktemp("videos") for n_frames in (260, 4)}
    for n_frames, videos in folders.items():
        for name in ("a", "b"):
            write_video(videos / f"{name}.mp4", n_frames, height=32, width=32)
        (videos / "empty.mp4").write_bytes(b"")

    def write(folder: Path, n_frames: int = 260) -> Path:
        parts = {"prompts": '["coarse", "detailed"]', "length": 2, "size": 28, "more": MORE}
        return jobs.write_job(folder, tiny_backbones["qwen2_5_vl"], videos=folders[n_frames], **parts)

    return write


@pytest.fixture
def job(write_job: Callable[..., Path], tmp_path: Path) -> Path:
    return write_job(tmp_path)


@pytest.fixture(scope="module")
def alone(write_job: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stores that one process writes."""
    job = write_job(tmp_path_factory.mktemp("alone"))
    assert main(["extract", str(job)]) == 3  # one video cannot be read
    return job.parent / "features"


def assert_same_stores(mine: Path, theirs: Path) -> None:
    for prompt in ("coarse", "detailed"):
        name = f"set/segment-2-2/tiny/{prompt}.zarr"
        assert compare(mine / name, theirs / name, values=True).verdict == 0


@dataclass
class Workers:
    """The programs that workers are to run, in their order, and the workers that have started.

    None is the true command, which starts when all before have ended.
    """

    left: list[str | None] = field(default_factory=list)
    started: list[Any] = field(default_factory=list)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    start, found = subprocess.Popen, Workers()

    def other(command: list[str], **settings: Any) -> Any:
        if "vadprobe.flows.jobs.devices.worker" not in command:  # a decoder
            return start(command, **settings)
        program = found.left.pop(0)
        if program is None:
            for process in found.started:
                process.wait()
            worker = start(command, **settings)
        else:
            worker = forked.start(program, command[3:], settings["stdout"], settings["stderr"])
        found.started.append(worker)
        return worker

    monkeypatch.setattr(processes, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": other}))
    return found


def test_two_processes_write_the_store_that_one_writes(
    job: Path, alone: Path, capsys: pytest.CaptureFixture[str], workers: Workers
) -> None:
    workers.left = [MEETING, MEETING]
    assert main(["extract", str(job), "--devices", "cpu", "cpu"]) == 3
    captured = capsys.readouterr()
    assert captured.out.count("cpu: ") == 2
    assert "Worked on 260 of 260 clips; 2 partitions are committed." in captured.out
    assert "Video not readable: empty: the file is empty (0 bytes)" in captured.out
    assert "260/260" in captured.err
    assert_same_stores(job.parent / "features", alone)
    assert main(["extract", str(job), "--devices", "cpu", "cpu"]) == 3
    assert "Nothing to compute" in capsys.readouterr().out


@pytest.mark.parametrize("number", some([signal.SIGINT, signal.SIGTERM], 1))
def test_an_interrupt_ends_all_processes_and_the_work_goes_on_later(
    job: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    workers: Workers,
    number: signal.Signals,
) -> None:
    """The signal comes with the first report of a finished partition, so while the other one is worked on."""
    take, records = processes._Count.take, "features/set/segment-2-2/tiny/coarse.records/*.json"

    def interrupted(self: Any, worker: Any, report: dict[str, Any]) -> None:
        take(self, worker, report)
        if "finished" in report:
            signal.raise_signal(number)

    workers.left = [TRUE, TRUE]
    with monkeypatch.context() as patch:
        patch.setattr(processes._Count, "take", interrupted)
        assert main(["extract", str(job), "--devices", "cpu", "cpu"]) == 130
    err = capsys.readouterr().err
    assert "the same command goes on where it stopped" in err
    assert "Traceback" not in err
    assert len(workers.started) == 2
    assert not [worker.pid for worker in workers.started if Path(f"/proc/{worker.pid}").exists()]
    assert not list(job.parent.rglob(".claims"))
    before = {path: path.stat().st_mtime_ns for path in job.parent.glob(records)}
    assert before
    assert main(["extract", str(job)]) == 3  # one video cannot be read
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert main(["verify", str(job)]) == 0


@pytest.mark.slow
def test_the_partition_of_a_killed_process_is_taken_over(
    write_job: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: Workers
) -> None:
    """The command that a user's extraction starts for each device takes it over."""
    for name in ("several", "alone"):
        (tmp_path / name).mkdir()
    job, alone = write_job(tmp_path / "several", 4), write_job(tmp_path / "alone", 4)
    workers.left = [DYING, None]
    assert main(["extract", str(job), "--devices", "cpu", "cpu"]) == 3  # one video cannot be read
    captured = capsys.readouterr()
    assert "The process on cpu was ended by signal 9." in captured.err
    assert "1 partition is committed" in captured.out
    assert main(["extract", str(alone)]) == 3
    assert_same_stores(job.parent / "features", alone.parent / "features")
    assert main(["verify", str(job)]) == 0


def break_weights(job: Path) -> None:
    """Let the job name a checkpoint whose weights are cut off."""
    text = job.read_text()
    source = text.split('path = "')[1].split('"')[0]
    backbone = Path(shutil.copytree(source, job.parent / "backbone"))
    job.write_text(text.replace(source, str(backbone)))
    weights = next(backbone.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])


def test_a_process_that_fails_says_why_in_its_last_line(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_weights(job)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert worker.main(str(job), str(job.parent), "cpu") == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith("vadprobe: the checkpoint of backbone")
    assert "Traceback" not in captured.err
    assert captured.out == ""


BROKEN = ("warned\nvadprobe: it is broken.\nLoading: 100%|##|", "Loading:  40%|#  | 4/10 [..]vadprobe: it is broken.")


def test_processes_that_all_fail_are_named_with_their_reason(
    job: Path, capsys: pytest.CaptureFixture[str], workers: Workers
) -> None:
    """The reason is the last that they said themselves, before or behind a bar of progress."""
    workers.left = [f"raise SystemExit({said!r})" for said in BROKEN]
    assert main(["extract", str(job), "--devices", "cpu", "cpu"]) == 2
    err = capsys.readouterr().err
    assert err.count("The process on cpu ended with exit code 1: it is broken.") == 4  # as each ends, and at the end
    assert "2 partitions are left to compute. The process on cpu ended" in err
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
