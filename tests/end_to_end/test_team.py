"""A team's week: a Prefect server on PostgreSQL, stores in a bucket, two workers with the model and one without torch.

docs/tutorials/team.md tells the same story. `pytest tests/end_to_end/test_team.py --log-cli-level INFO` prints it.
"""

import csv
import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.support.processes.prefect_team import children_of, eventually
from tests.support.processes.remote_servers import Faults, bucket_at_hand
from tests.support.processes.team import TeamOfMachines, team_on_postgres

pytest.importorskip("obstore", reason="the package for URLs is not installed")
pytest.importorskip("moto", reason="the S3 server of the tests is not installed")
pytest.importorskip("asyncpg", reason="Prefect's driver of PostgreSQL is not installed")

from vadprobe.extract.demo.surveillance import make_surveillance_set
from vadprobe.flows.jobs.demo.ingredients import install_backbone
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.files.location import location
from vadprobe.store.writing.timings.run_timings import FOLDER as TIMINGS

pytestmark = pytest.mark.slow

JOB = """\
workspace = "."
prompts = ["coarse"]
[dataset]
name = "street"
format = "manifest"
videos = "street/videos"
manifest = "labels.csv"
[store]
root = "{root}"
[[sampling]]
unit = "segment"
clip_length = 4
frames_per_clip = 4
splits = ["validation", "test"]
[[sampling]]
unit = "video"
frames_per_clip = 4
splits = ["train"]
[backbone]
key = "demo-captioner"
path = "street/backbone"
dtype = "float32"
frame_size = [112, 168]
[extraction]
device = "cpu"
threads = 1
[analysis]
method = "headhunt"
preset = "headhunt"
out = "results"
workers = 0
curves = 1
calibration = {{unit = "video", fraction = 1.0}}
locator = {{sigmas = [0.0, 1.0], threshold = "grid"}}
"""
_LOGGER = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """Folder with drawn videos and the backbone, and the dataset."""
    folder = tmp_path_factory.mktemp("world")
    install_backbone(folder / "backbone")
    return folder, make_surveillance_set(folder, seed=5, n_videos=32, seconds=(4.0, 6.0))


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder of a bucket."""
    with bucket_at_hand(Faults()) as url:
        yield f"{url}/team/features"


@pytest.fixture
def team(bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[TeamOfMachines]:
    """A server; what it starts reaches the bucket."""
    caplog.set_level(logging.WARNING, logger="httpx")  # each question to the server
    with team_on_postgres(tmp_path) as team:
        yield team


def machine(folder: Path, world: tuple[Path, Dataset], root: str, with_videos: bool) -> Path:
    """A folder with the job and the labels, as a checkout of the team's repository; two machines have the videos."""
    folder.mkdir()
    (folder / "street.toml").write_text(JOB.format(root=root))
    write_labels(folder, world[1], {})
    if with_videos:
        (folder / "street").symlink_to(world[0])
    return folder


def write_labels(folder: Path, dataset: Dataset, corrected: dict[str, str]) -> None:
    """Write the team's table; `corrected` has other intervals of some videos."""
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["video_id", "path", "split", "label", "n_frames", "fps", "intervals"])
        for video in dataset.videos:
            spans = ";".join(f"{one.start_frame}-{one.stop_frame}" for one in dataset.intervals_of(video.video_id))
            row = [video.video_id, video.path, video.split, video.label, video.n_frames, video.fps]
            table.writerow([*row, corrected.get(video.video_id, spans)])


def start(team: TeamOfMachines, flow: str, *words: str) -> UUID:
    """Run a deployment by its plain name; give the run's id."""
    (found,) = set(re.findall(r"UUID: ([0-9a-f-]{36})", team.prefect("deployment", "run", flow, *words)))
    return UUID(found)


def everything_below(root: str | Path) -> dict[str, bytes]:
    """Return the files below a folder or in a bucket, but for times and what describes them."""
    place = location(str(root))
    skipped = (".planning", "README.md")
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file() and path.name not in skipped and TIMINGS not in path.parts
    }


def add_prompts(*folders: Path) -> None:
    """Write two more prompts into the job."""
    for folder in folders:
        text = (folder / "street.toml").read_text()
        (folder / "street.toml").write_text(text.replace('["coarse"]', '["coarse", "detailed", "question"]'))


def claimed_by(root: str, process: int) -> list[str]:
    """The claims in the bucket that a process or one of its children holds."""
    family = children_of(process)
    found = []
    for path in location(root).rglob("*"):
        if ".claims" in path.parts and path.is_file() and json.loads(path.read_bytes()).get("process") in family:
            found.append(str(path))
    return found


def numbers(folder: Path) -> dict[str, Any]:
    """The result that an analysis wrote."""
    (found,) = json.loads((folder / "results" / "results.json").read_text())["results"]
    return dict(found)


def tell(what: str, *lines: str) -> None:
    """Log a chapter of the story."""
    _LOGGER.info("%s\n%s", what, "\n".join(f"    {line}" for line in lines))


def the_line(log: str, beginning: str) -> str:
    """The last line of a log that begins with some words."""
    return [line for line in log.splitlines() if line.startswith(beginning)][-1]


def ending(log: str) -> str:
    """Return the last words of a run."""
    return the_line(log, "Finished in state Completed('").partition("'")[2].rpartition("'")[0]


def steps(log: str) -> str:
    """Return the words of an analysis about its steps."""
    return next(line for line in log.splitlines() if " steps were computed (" in line)


def written(log: str) -> list[str]:
    """The stores, as sampling and prompt, that a run says it has written and read again."""
    lines = [line.partition(": ")[0] for line in log.splitlines() if line.endswith("read again: sound")]
    return ["/".join((Path(line).parent.parent.name, Path(line).stem)) for line in lines]


def test_a_teams_week(team: TeamOfMachines, world: tuple[Path, Dataset], bucket: str, tmp_path: Path) -> None:
    gpus = {name: machine(tmp_path / name, world, bucket, with_videos=True) for name in ("gpu-1", "gpu-2")}
    cpu = machine(tmp_path / "cpu", world, bucket, with_videos=False)
    for pool in ("gpu", "cpu"):
        team.prefect("work-pool", "create", pool, "--type", "process")
    said = team.vadprobe("deploy", "street.toml", folder=cpu)
    tell("The job is deployed, from a machine without torch", *said.splitlines())
    assert "Automation made: crash-runs-without-heartbeat" in said
    assert str(tmp_path) not in (cpu / "prefect.yaml").read_text()
    for name, folder in gpus.items():
        team.machine(name, "gpu", folder)
    team.machine("cpu-1", "cpu", cpu, with_torch=False)

    run, lost = extract_on_a_machine_that_is_lost(team, bucket)
    log = team.ended(run)
    tell(
        "The other machine took over, and the run was started again there",
        ", ".join(team.states(run)),
        ending(log),
        *written(log),
    )
    assert "Crashed" in team.states(run)
    extracted = everything_below(bucket)
    log = team.ended(start(team, "analyze-features"))
    tell("The first analysis, without torch and without the videos", steps(log), the_line(log, "headhunt on street"))

    team.machine(lost, "gpu", gpus[lost])
    add_prompts(*gpus.values(), cpu)
    log = team.ended(start(team, "extract-features"))
    tell("Two prompts more; written and read again were", ending(log), *written(log))
    assert {Path(store).name for store in written(log)} == {"detailed", "question"}
    now = everything_below(bucket)
    assert {name: now[name] for name in extracted if "coarse" in name} == {
        name: content for name, content in extracted.items() if "coarse" in name
    }
    log = team.ended(start(team, "analyze-features"))
    tell("The analysis with three prompts", steps(log), the_line(log, "headhunt on street"))
    before = numbers(cpu)

    wrong = next(video for video in world[1].of_split("test") if video.label == 1)
    write_labels(cpu, world[1], {wrong.video_id: f"0-{(wrong.n_frames or 0) // 4}"})
    log = team.ended(start(team, "analyze-features"))
    tell("A label corrected", steps(log), the_line(log, "headhunt on street"))
    recomputed = re.search(r"computed \((.*)\)", steps(log))
    assert recomputed is not None
    assert set(recomputed[1].split(", ")) <= {"evaluation", "text-output"}
    assert numbers(cpu)["auc"] != before["auc"]
    assert everything_below(bucket) == now

    tell("All stores are read again", *team.vadprobe("verify", bucket, folder=cpu).splitlines())
    assert now == everything_below(undisturbed(team, world, tmp_path / "alone"))
    assert a_teammates_numbers(team, bucket, cpu, tmp_path / "mate") == {
        name: numbers(cpu)[name] for name in ("auc", "ap_step", "f1", "intervals")
    }


def extract_on_a_machine_that_is_lost(team: TeamOfMachines, bucket: str) -> tuple[UUID, str]:
    """Run stage 1 on both machines, and kill the one that began it. Give the run and the machine."""
    run = start(team, "extract-features", "-p", "workers=2")
    lost = team.worker_of(run)
    process = team.workers[lost].pid
    eventually(lambda: claimed_by(bucket, process), "the first machine never took a partition")
    held = claimed_by(bucket, process)
    team.kill(lost)
    tell(f"{lost} is killed with its run; it held", *held)
    return run, lost


def undisturbed(team: TeamOfMachines, world: tuple[Path, Dataset], folder: Path) -> Path:
    """The features that one process computes into a folder, in the same two goes."""
    alone = machine(folder, world, "features", with_videos=True)
    team.vadprobe("extract", "street.toml", folder=alone, with_torch=True)
    add_prompts(alone)
    team.vadprobe("extract", "street.toml", folder=alone, with_torch=True)
    return alone / "features"


def a_teammates_numbers(team: TeamOfMachines, bucket: str, cpu: Path, folder: Path) -> dict[str, Any]:
    """Pull what the detector reads of the test videos, score it with the detector, and give the numbers."""
    folder.mkdir()
    for name in ("street.toml", "labels.csv"):
        shutil.copy(cpu / name, folder)
    shutil.copy(cpu / "results" / "detector.json", folder)
    job = (folder / "street.toml").read_text().replace(bucket, "features")
    (folder / "street.toml").write_text(job.replace("[analysis]", '[analysis]\ndetector = "detector.json"'))
    words = ("pull", bucket, "features", "--detector", "detector.json", "--splits", "test")
    said = team.vadprobe(*words, folder=folder)
    tell("A teammate pulls five heads", *said.splitlines())
    said = team.vadprobe("analyze", "street.toml", folder=folder)
    tell("... and has the numbers of the team", the_line(said, "headhunt on street"))
    return {name: numbers(folder)[name] for name in ("auc", "ap_step", "f1", "intervals")}
