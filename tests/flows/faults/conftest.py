"""A team's server, a job of twelve partitions, and the store that an undisturbed extraction of it writes."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.support.paths import ROOT
from tests.support.processes.prefect_team import Team, eventually, team_of
from tests.support.samples.jobs import write_job
from vadprobe.flows.jobs.extract_job import extract
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.catalog.comparison import compare
from vadprobe.store.verification.verify import verify

VIDEOS = 6
PARTITIONS = 12
SPAN_MINUTES = 0.15


@dataclass
class Bench:
    """The job, its undisturbed store, and the team that is to write the same one again.

    Attributes:
        team: server and workers.
        job: the job file.
        undisturbed: folder of the store of one process without Prefect.
        folder: workspace of a test.
    """

    team: Team
    job: Path
    undisturbed: Path
    folder: Path

    def extract(self, config: Path | str | None = None, **parameters: Any) -> UUID:
        """Create a run of extract-features into the folder of the test."""
        own = {"config": str(config or self.job), "workspace": str(self.folder), "span_minutes": SPAN_MINUTES}
        return self.team.create("extract-features", {**own, **parameters})

    def written(self) -> int:
        """Count the partitions that are in the store."""
        return len(list(self.folder.glob("features/*/*/*/*.records/*.json")))

    def wait_until_written(self, count: int = 2) -> None:
        """Wait until so many partitions are in the store, while others are computed."""
        eventually(lambda: self.written() >= count, f"{count} partitions were never written")

    def helpers(self, *states: str) -> list[Any]:
        """Return the helpers of this test's runs, of some states."""
        runs = [
            run for run in self.team.runs_of("extract-partitions") if run.parameters["workspace"] == str(self.folder)
        ]
        return [run for run in runs if not states or (run.state is not None and run.state.name in states)]

    def check(self) -> None:
        """Compare the store with the undisturbed one: specification, clips, records, values and the bytes of shards."""
        (ours,), (theirs,) = (list(each.glob("features/*/*/*/*.zarr")) for each in (self.folder, self.undisturbed))
        found = compare(ours, theirs, values=True)
        assert found.verdict == 0, found
        assert not verify(ours).problems
        shards = [path.relative_to(ours) for path in sorted(ours.glob("*/c/**/*")) if path.is_file()]
        assert shards == [path.relative_to(theirs) for path in sorted(theirs.glob("*/c/**/*")) if path.is_file()]
        assert len(shards) >= PARTITIONS
        assert all((ours / shard).read_bytes() == (theirs / shard).read_bytes() for shard in shards)
        assert not list(ours.parent.glob(".claims/*"))


@pytest.fixture(scope="package")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbones: Mapping[str, Path], write_video: Callable[..., Path]
) -> Path:
    """Write a job, and what one process computes of it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "videos").mkdir()
    for number in range(VIDEOS):
        write_video(folder / "videos" / f"clip{number}.mp4", PARTITIONS // VIDEOS * 256 * 8)
    settings = '[extraction]\ndevice = "cpu"\nthreads = 1\ndecoders = 1'
    backbone = tiny_backbones["qwen2_5_vl"]
    job = write_job(folder, backbone, videos=folder / "videos", size=112, frames=4, more=settings)
    extract(load_job(job))
    return folder


@pytest.fixture(scope="package")
def team(tmp_path_factory: pytest.TempPathFactory, undisturbed: Path) -> Iterator[Team]:
    """A server with our deployments, made from a checkout that is gone afterwards, and the automations."""
    folder = tmp_path_factory.mktemp("team")
    with team_of(folder, OMP_NUM_THREADS="1", VADPROBE_JOBS=str(undisturbed)) as team:
        for pool in ("gpu", "cpu"):
            team.command("work-pool", "create", pool, "--type", "process")
        checkout = folder / "checkout"
        checkout.mkdir()
        shutil.copy(ROOT / "prefect.yaml", checkout)
        team.command("deploy", "--all", cwd=checkout)
        shutil.rmtree(checkout)
        file = ROOT / "flows" / "deployments" / "automations.yaml"
        team.command("automation", "create", "--from-file", str(file))
        yield team


@pytest.fixture
def bench(team: Team, undisturbed: Path, tmp_path: Path) -> Iterator[Bench]:
    """The bench of one test, whose workers are gone afterwards."""
    yield Bench(team, undisturbed / "job.toml", undisturbed, tmp_path)
    for name in list(team.workers):
        team.kill(name)
