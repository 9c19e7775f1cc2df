"""A cluster that a run starts from a class by its dotted name, and what is seen of one at work."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from vadprobe.analyze.compute import observation
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.observation import Observation
from vadprobe.analyze.compute.scheduling import Task
from vadprobe.analyze.compute.settings import ClusterConfig
from vadprobe.store.errors import VadprobeError

# Dask and Bokeh warn about each other's interfaces, and Dask about a port that is taken.
pytestmark = pytest.mark.filterwarnings("ignore")


def local(**more: object) -> ClusterConfig:
    """Describe a cluster whose workers are threads of this process."""
    arguments = {"processes": False, "threads_per_worker": 1, "n_workers": 0, "dashboard_address": ":0"}
    return ClusterConfig.model_validate({"type": "distributed.LocalCluster", "arguments": arguments} | more)


@pytest.mark.parametrize("most_workers", [None, 2])
def test_a_class_by_its_dotted_name_computes_and_says_where_its_pages_are(most_workers: int | None) -> None:
    pages: list[str] = []
    cluster = local(most_workers=most_workers)
    with open_scheduler("cluster", 1, cluster=cluster, observation=Observation(started=pages.append)) as scheduler:
        assert pages == []  # without a task nothing is started
        assert scheduler.run([Task(f"power {n}", pow, (n, 2)) for n in range(5)]) == [0, 1, 4, 9, 16]
    assert [page.rpartition("/")[2] for page in pages] == ["status"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"type": "dask_nothing.Cluster"}, r"cannot be imported .*pip install dask-nothing"),
        ({"type": "distributed.NoCluster"}, r"'distributed.NoCluster' cannot be imported"),
        (
            {"type": "os.system", "arguments": {"command": "exit 1"}},
            r"must be a class of Dask clusters, got 'os.sys",
        ),
        ({"type": "subprocess.Popen", "arguments": {"args": ["true"]}}, r"must be a class of Dask clusters"),
        (
            local(arguments={"colour": 3, "processes": False}).model_dump(),
            r"could not be started with colour, proc",
        ),
        (local(patience=0.2).model_dump(), r"no worker of distributed.LocalCluster has come within 0 seconds"),
    ],
)
def test_what_cannot_be_started_is_refused_with_a_sentence(config: dict[str, object], words: str) -> None:
    cluster = ClusterConfig.model_validate(config)
    with pytest.raises(VadprobeError, match=words), open_scheduler("cluster", 0, cluster=cluster) as scheduler:
        scheduler.run([Task("nothing", abs, (1,))])


def test_a_name_that_is_no_dotted_name_is_refused() -> None:
    with pytest.raises(ValidationError, match="type"):
        ClusterConfig(type="LocalCluster; import os")


def test_the_performance_report_is_kept_also_of_work_that_failed(tmp_path: Path) -> None:
    pytest.importorskip("bokeh", reason="Dask draws with Bokeh, which is not installed")
    page = tmp_path / "result" / "performance.html"
    with (
        pytest.raises(VadprobeError, match=r"^root: "),
        open_scheduler("cluster", 1, cluster=local(), observation=Observation(page)) as scheduler,
    ):
        scheduler.run([Task("root", fail)])
    assert "Dask Performance Report" in page.read_text(encoding="utf-8")
    assert list(page.parent.iterdir()) == [page]


def fail() -> None:
    raise VadprobeError("wrong")


def test_a_report_that_cannot_be_drawn_is_refused_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observation, "find_spec", lambda name: None)
    wanted = Observation(tmp_path / "performance.html")
    with pytest.raises(VadprobeError, match="needs Bokeh"), open_scheduler("synchronous", 0, observation=wanted):
        pass


def test_a_cluster_that_nothing_describes_is_refused() -> None:
    words = r"needs a section \[analysis.cluster\]"
    with pytest.raises(VadprobeError, match=words), open_scheduler("cluster", 1):
        pass
