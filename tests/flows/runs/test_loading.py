"""The job of a run is found on the worker's machine, whatever folder the run starts in."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from vadprobe.flows.jobs.job import load_job
from vadprobe.flows.runs.loading import JOBS_VARIABLE, load_run_job
from vadprobe.flows.runs.parameters import ExtractionOverrides, JobName
from vadprobe.store.errors import VadprobeError


def test_relative_paths_begin_in_the_folder_of_the_worker(
    job: Callable[..., Path], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = job()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(VadprobeError, match=rf"no job file .*elsewhere.*job.toml on this worker's.*{JOBS_VARIABLE}"):
        load_run_job("job.toml", None)
    monkeypatch.setenv(JOBS_VARIABLE, str(tmp_path))
    assert load_run_job("job.toml", None).stores == load_job(path).stores
    assert load_run_job("job.toml", "other").workspace == tmp_path / "other"
    assert load_run_job("hiprobe", str(tmp_path)).workspace == tmp_path


def test_overrides_stand_in_place_of_the_jobs_settings(job: Callable[..., Path]) -> None:
    path = job(prompts='["coarse", "question"]')
    found = load_run_job(str(path), None, ExtractionOverrides(device="cpu", decoders=3, prompts=("question",)))
    assert [prompt.key for prompt in found.prompts] == ["question"]
    assert (found.config.extraction.device, found.config.extraction.decoders) == ("cpu", 3)
    assert load_run_job(str(path), None, ExtractionOverrides()).digest == load_job(path).digest
    with pytest.raises(VadprobeError, match=r"overrides.prompts must be some of coarse, question, got other"):
        load_run_job(str(path), None, ExtractionOverrides(prompts=("other",)))


def test_a_name_that_is_neither_file_nor_shipped_job_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValidationError, match=r"config must be a job file .*hiprobe.*got 'hiprob'"):
        TypeAdapter(JobName).validate_python("hiprob")
