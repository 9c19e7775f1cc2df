"""A job that extends others: tables merge key by key, arrays come whole, and every mistake names the file it is in."""

from pathlib import Path

import pytest

from tests.flows.jobs.test_job import JOB
from vadprobe.flows.jobs.job import load_job
from vadprobe.flows.jobs.job_files.merging import compose, read_merged, shipped_jobs
from vadprobe.store.errors import VadprobeError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A whole job in a folder of its own."""
    return write(tmp_path, "shared/base.toml", JOB)


def test_tables_merge_key_by_key_and_arrays_come_whole(tmp_path: Path, base: Path) -> None:
    text = 'extends = "shared/base.toml"\nprompts = ["detailed"]\n[backbone]\ndtype = "float32"\n'
    text += '[[sampling]]\nunit = "video"\nframes_per_clip = 4\n'
    job = load_job(write(tmp_path, "job.toml", text))
    assert [prompt.key for prompt in job.prompts] == ["detailed"]
    assert (job.config.backbone.key, job.config.backbone.dtype) == ("tiny", "float32")
    assert [sampling.key for sampling in job.samplings] == ["video-4"]
    assert job.config.dataset == load_job(base).config.dataset


def test_the_workspace_begins_at_the_file_that_says_it(tmp_path: Path, base: Path) -> None:
    inherited = load_job(write(tmp_path, "job.toml", 'extends = "shared/base.toml"'))
    assert inherited.workspace == base.parent.resolve()
    own = load_job(write(tmp_path, "job.toml", 'extends = "shared/base.toml"\nworkspace = "here"'))
    assert own.workspace == tmp_path.resolve() / "here"


def test_later_files_win_and_a_file_met_twice_overrides_nothing_twice(tmp_path: Path, base: Path) -> None:
    write(tmp_path, "left.toml", 'extends = "shared/base.toml"\n[backbone]\nkey = "left"\ndtype = "float16"\n')
    write(tmp_path, "right.toml", 'extends = "shared/base.toml"\n[backbone]\ndtype = "float32"\n')
    job = write(tmp_path, "job.toml", 'extends = ["left.toml", "right.toml"]')
    found = read_merged(job)
    assert [file.path.name for file in found.files] == ["base.toml", "left.toml", "right.toml", "job.toml"]
    assert (found.content["backbone"]["key"], found.content["backbone"]["dtype"]) == ("left", "float32")
    assert [file.path.name for file in found.files_of(("backbone",))] == ["base.toml", "left.toml", "right.toml"]
    assert [file.path.name for file in found.files_of(("backbone", "dtype"))] == ["right.toml"]
    assert found.files_of(("extraction", "device")) == ()
    assert compose(["left.toml", "right.toml"], tmp_path).content == found.content


def test_a_value_and_a_table_replace_each_other(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", "x = 1\n[y]\nz = 2\n")
    found = read_merged(write(tmp_path, "b.toml", 'extends = "a.toml"\ny = 3\n[x]\nw = 4\n'))
    assert found.content == {"x": {"w": 4}, "y": 3}
    assert {key: file.path.name for key, file in found.origins.items()} == {("x", "w"): "b.toml", ("y",): "b.toml"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('key = "tiny"', 'key = "tiny"\nattension = "eager"', ["'backbone.attension'", "did you mean"]),
        ("frames_per_clip = 8", "frames_per_clip = 80", ["clip_length is 24"]),
        ('"coarse", {', '"coarze", {', ["no shipped prompt 'coarze'"]),
        ('workspace = "."', "workspace = 3", ["workspace", "3"]),
    ],
)
def test_a_mistake_names_the_file_that_it_is_in(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    base = write(tmp_path, "base.toml", JOB.replace(old, new))
    job = write(tmp_path, "job.toml", 'extends = "base.toml"\n[extraction]\nthreads = 0\n')
    with pytest.raises(VadprobeError) as caught:
        load_job(write(tmp_path, "job.toml", 'extends = "base.toml"'))
    assert str(caught.value).startswith(f"{base}: ")
    assert all(word in str(caught.value) for word in words)
    write(tmp_path, "job.toml", 'extends = "base.toml"\n[extraction]\nthreads = 0\n')
    if "coarze" not in new:  # prompts are looked up once the file is valid
        with pytest.raises(VadprobeError, match=f"{job}: extraction.threads.*got 0"):
            load_job(job)


def test_a_missing_key_is_asked_of_the_job_itself(tmp_path: Path) -> None:
    write(tmp_path, "base.toml", JOB.replace('key = "tiny"\n', ""))
    job = write(tmp_path, "job.toml", 'extends = "base.toml"')
    with pytest.raises(VadprobeError, match=rf"^{job}: the key 'backbone.key' is missing"):
        load_job(job)


def test_keys_of_several_files_that_contradict_each_other_name_them_all(tmp_path: Path) -> None:
    base = write(tmp_path, "base.toml", JOB)
    job = write(tmp_path, "job.toml", 'extends = "base.toml"\n[dataset]\nformat = "manifest"\n')
    with pytest.raises(VadprobeError, match=rf"^{base}, {job}: dataset: format 'manifest' needs the key 'manifest'"):
        load_job(job)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('"other.toml"', "there is no job file .*other.toml"),
        ('"papers/hedhunt"', "no shipped job 'papers/hedhunt'; did you mean 'papers/headhunt'"),
        ('["hiprobe", 3]', "must be the name of a job file, or a list of names, got"),
    ],
)
def test_what_cannot_be_extended_is_a_sentence_with_the_file_that_asks(tmp_path: Path, value: str, words: str) -> None:
    job = write(tmp_path, "job.toml", f"extends = {value}")
    with pytest.raises(VadprobeError, match=rf"^{job}: extends:? .*{words}"):
        load_job(job)


def test_a_circle_is_shown(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "b")):
        write(tmp_path, f"{name}.toml", f'extends = "{other}.toml"')
    with pytest.raises(VadprobeError, match=r"cannot extend itself: b.toml -> c.toml -> b.toml; take one of these out"):
        load_job(tmp_path / "a.toml")


def test_shipped_jobs_are_known_by_name(tmp_path: Path) -> None:
    assert {"hiprobe", "headhunt", "ucf-crime", "papers/base"} <= shipped_jobs().keys()
    job = load_job(write(tmp_path, "job.toml", 'extends = "hiprobe"\nworkspace = "."\n'))
    assert job.digest == load_job(shipped_jobs()["hiprobe"]).digest
    assert job.workspace == tmp_path.resolve()
