"""Jobs over stores with a planted signal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.planted import Planted, write_planted
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_planted(tmp_path_factory.mktemp("planted"), strength=1.5)


@pytest.fixture
def cases(planted: Planted) -> tuple[ExperimentJob, ...]:
    """A job of each method: layers, then heads."""
    return tuple(case_of(load_job(planted.job(method)), 0.75) for method in ("hiprobe", "headhunt"))


@pytest.fixture
def lab(cases: tuple[ExperimentJob, ...], tmp_path: Path) -> Iterator[ExperimentContext]:
    with open_scheduler("synchronous", 0) as scheduler:
        yield ExperimentContext(cases, StepCache(tmp_path / "steps"), scheduler, draws=2)
