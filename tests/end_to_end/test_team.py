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

import pytest

from tests.support.processes.remote_servers import Faults, bucket_at_hand
from tests.support.processes.team import Team, running_team
from tests.support.processes.waiting import wait_until

pytest.importorskip("obstore", reason="the package for URLs is not installed")
pytest.importorskip("moto", reason="the S3 server of the tests is not installed")
pytest.importorskip("asyncpg", reason="Prefect's driver of PostgreSQL is not installed")

from vadprobe.extract.demo.surveillance import make_surveillance_set
from vadprobe.flows.jobs.demo.ingredients import install_backbone
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.files.location import location

pytestmark = pytest.mark.slow

JOB = """\
workspace = "."
prompts = ["coarse"]
[dataset]
name = "street"
format = "manifest"
videos = "videos"
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
path = "backbone"
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
LATER = ("detailed", "question")
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
def team(bucket: str, tmp_path: Path) -> Iterator[Team]:
    """A server; what it starts reaches the bucket."""
    with running_team(tmp_path) as team:
        yield team


def machine(folder: Path, world: tuple[Path, Dataset], root: str, with_videos: bool) -> Path:
    """A folder with the job and the labels, as a checkout of the team's repository; two machines have the videos."""
    folder.mkdir()
    (folder / "job.toml").write_text(JOB.format(root=root))
    write_labels(folder, world[1], {})
    if with_videos:
        for name in ("videos", "backbone"):
            (folder / name).symlink_to(world[0] / name)
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


def start(team: Team, flow: str, folder: Path, *words: str) -> str:
    """Run a deployment by its plain name; give the run's id."""
    out = team.command("prefect", "deployment", "run", flow, *words, machine=folder)
    (found,) = set(re.findall(r"UUID: ([0-9a-f-]{36})", out))
    return str(found)


def claimed_by(root: str, process: int) -> list[str]:
    """The claims in the bucket that a process or one of its children holds."""
    import psutil

    family = {process, *(child.pid for child in psutil.Process(process).children(recursive=True))}
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
    """The last line of a log that contains some words."""
    return [line for line in log.splitlines() if beginning in line][-1]
