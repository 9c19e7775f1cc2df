"""Jobs of both methods on one planted store, and the steps of all tables on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.planted import Planted, write_planted
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.experiments.cases import ExperimentContext
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_planted(tmp_path_factory.mktemp("planted"), strength=1.5)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of steps for all tests of a file: most tables rest on the same ones."""
    return tmp_path_factory.mktemp("steps")


@pytest.fixture
def lab(planted: Planted, steps: Path) -> Iterator[ExperimentContext]:
    cases = tuple(case_of(load_job(planted.job(method)), 0.75) for method in ("hiprobe", "headhunt"))
    with open_scheduler("synchronous", 0) as scheduler:
        yield ExperimentContext(cases, StepCache(steps), scheduler, draws=3)
