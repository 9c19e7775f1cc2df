"""A job printed whole loads to the same job."""

import tomllib
from pathlib import Path

import pytest

from vadprobe.flows.jobs.job import checked_job, job_text, load_job
from vadprobe.flows.jobs.job_files.merging import compose, read_merged, shipped_jobs
from vadprobe.flows.jobs.job_files.toml_text import toml_value
from vadprobe.store.format.configuration import PromptConfig

PRESETS = sorted(name for name in shipped_jobs() if "/" not in name)
JOBS = [*([name] for name in PRESETS), ["papers/hiprobe", "papers/xd-violence", "papers/qwen2.5-vl-7b"]]


@pytest.mark.parametrize("names", JOBS, ids=" ".join)
def test_a_printed_job_is_the_same_job(tmp_path: Path, names: list[str]) -> None:
    merged = compose(names, tmp_path)
    job = checked_job(merged)
    path = tmp_path / "printed.toml"
    path.write_text(job_text(job, merged), encoding="utf-8")
    again = load_job(path)
    assert again.config.model_copy(update={"workspace": job.config.workspace}) == job.config
    assert (again.workspace, again.digest) == (job.workspace, job.digest)
    assert job_text(again, read_merged(path)).splitlines()[1] == f"# Digest of its settings: {job.digest}"


def test_the_file_that_says_a_value_stands_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "hiprobe"\nworkspace = "."\n[analysis]\nseed = 3\n[analysis.probe]\nc = inf\n')
    lines = job_text(load_job(path), read_merged(path)).splitlines()
    assert {"seed = 3", "c = inf", "sigmas = [0.4]  # hiprobe", "curves = 6  # default"} <= set(lines)
    assert f'workspace = "{tmp_path.resolve()}"' in lines


LISTS = [("x", 0.5), ((1, 2), (3, 4)), (), {"a b": [1, {"c": "d"}], "x": True}, {"neighbours": 3.0}]


@pytest.mark.parametrize("value", ['a"b\\c\n\t\x7f\u0001ä', True, 3, 1e-05, 1e22, float("inf"), *LISTS])
def test_a_written_value_reads_back(value: object) -> None:
    read = tomllib.loads(f"key = {toml_value(value)}")["key"]

    def plain(one: object) -> object:
        return [plain(item) for item in one] if isinstance(one, tuple) else one

    assert read == plain(value)


def test_a_prompt_of_ones_own_is_an_inline_table() -> None:
    written = '["coarse", {key = "m", text = "?", before = "", positions = ["last-prompt"]}]'
    assert toml_value(("coarse", PromptConfig(key="m", text="?"))) == written
