"""A job file is validated as a whole, and every mistake in it is one sentence that names key, value and remedy."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import SHIPPED

CONFIGS = ROOT / "configs"
JOB = """\
workspace = "."
prompts = ["coarse", {key = "mine", text = "Is there smoke?"}]
[dataset]
name = "set"
videos = "videos"
[store]
root = "features"
[[sampling]]
unit = "segment"
clip_length = 24
frames_per_clip = 8
[backbone]
key = "tiny"
path = "backbone"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "job.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(("preset", "length", "frames"), [("hiprobe", 24, 8), ("headhunt", 48, 16)])
def test_both_presets_are_valid_jobs_with_the_samplings_of_the_papers(preset: str, length: int, frames: int) -> None:
    job = load_job(CONFIGS / f"{preset}.toml")
    assert job.analysis.method == preset
    assert len(job.prompts) >= 3
    assert [sampling.unit for sampling in job.samplings] == ["segment", "video"]
    assert (job.samplings[0].clip_length, job.samplings[0].frames_per_clip) == (length, frames)
    assert job.workspace == (CONFIGS.parent / "demo-out").resolve()


@pytest.mark.parametrize("name", ["ucf-crime", "xd-violence"])
def test_the_job_files_of_the_real_sets_are_valid_and_tune_on_held_out_videos(name: str) -> None:
    job = load_job(CONFIGS / f"{name}.toml")
    assert job.config.dataset.format == job.config.dataset.name == name
    assert job.config.dataset.validation is not None
    assert job.analysis.locator.split == "validation"
    assert job.analysis.calibration.fraction == 0.01
    assert len(job.prompts) == 5


def test_the_folder_job_scores_with_the_demo_detector_of_the_same_backbone_and_sampling() -> None:
    folder, preset = load_job(CONFIGS / "folder.toml"), load_job(CONFIGS / "headhunt.toml")
    assert folder.analysis.detector == f"{preset.analysis.out}/detector.json"
    assert folder.config.backbone == preset.config.backbone
    assert folder.samplings[0] == preset.samplings[0]
    assert folder.prompts[0].key == preset.analysis.score_prompt


def test_paths_begin_at_the_workspace_and_the_argument_wins(tmp_path: Path) -> None:
    path = write(tmp_path, JOB)
    assert load_job(path).root == tmp_path.resolve() / "features"
    assert load_job(path, tmp_path / "other").root == tmp_path.resolve() / "other" / "features"


def test_a_job_names_one_store_for_every_sampling_and_prompt(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, JOB))
    names = [store.relative_to(tmp_path.resolve()).as_posix() for store in job.stores]
    assert names == ["features/set/segment-24-8/tiny/coarse.zarr", "features/set/segment-24-8/tiny/mine.zarr"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('key = "tiny"', 'key = "tiny"\nattension = "eager"', ["backbone.attension", "did you mean 'attention'"]),
        ('workspace = "."', 'workspace = "."\nspeed = 3', ["unknown key 'speed'", "known keys are"]),
        ('prompts = ["coarse", {key = "mine", text = "Is there smoke?"}]', "prompts = []", ["prompt set is empty"]),
        ('"coarse", {', '"coarze", {', ["no shipped prompt 'coarze'", "detailed"]),
        ('text = "Is there smoke?"', 'text = " "', ["'mine'", "empty text"]),
        ('key = "mine"', 'key = "coarse"', ["a key twice", "coarse, coarse"]),
        ('key = "mine"', 'key = "coarse-last-vision"}, {key = "coarse", positions = ["last-vision"]', ["a key twice"]),
        ('key = "mine"', 'positions = ["last-word"], key = "mine"', ["positions", "'last-vision'", "'last-word'"]),
        ('key = "mine"', 'positions = ["mean-prompt", "mean-prompt"], key = "mine"', ["positions name one twice"]),
        ('["coarse", {key = "mine", text = "Is there smoke?"}]', '"coarse"', ["prompts must be a list of values in"]),
        ('key = "mine"', 'key = "../up"', ["'../up'", "names a folder"]),
        ("clip_length = 24", "clip_length = 4", ["clip_length is 4", "frames_per_clip is 8"]),
        ("clip_length = 24\n", "", ["a segment needs a clip_length"]),
        ("frames_per_clip = 8", 'frames_per_clip = "many"', ["frames_per_clip", "integer", "'many'"]),
        ('unit = "segment"', 'unit = "shot"', ["unit", "'segment' or 'video'", "'shot'"]),
        ('root = "features"', "", ["'store.root' is missing"]),
        ('name = "set"', 'name = "set"\nformat = "manifest"', ["needs the key 'manifest'"]),
        ('path = "backbone"', 'path = "backbone"\ndtype = "int8"', ["backbone.dtype", "'bfloat16'", "'int8'"]),
        ('path = "backbone"', 'path = "backbone"\n[extraction]\nbatch_clips = 0', ["batch_clips", "0"]),
    ],
)
def test_a_mistake_is_named_with_key_value_and_remedy(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in JOB
    with pytest.raises(VadprobeError) as caught:
        load_job(write(tmp_path, JOB.replace(old, new)))
    message = str(caught.value)
    assert "\n" not in message
    assert "job.toml" in message or "prompt" in message
    assert "at least 1 item" not in message  # the section is there, and what is wrong in it is said
    for word in words:
        assert word in message


def test_a_job_file_is_guessed_from_a_name_near_it(tmp_path: Path) -> None:
    path = write(tmp_path, JOB)
    for name in ("job", "jov.toml"):
        with pytest.raises(VadprobeError, match=f"there is no job file .*{name}; did you mean .*/job.toml"):
            load_job(path.with_name(name))


@pytest.mark.parametrize(
    ("analysis", "words"),
    [
        ({"score_prompt": "other"}, ["score_prompt is 'other'", "coarse, mine"]),
        ({"position": "last-vision"}, ["analysis.position is 'last-vision'", "only at last-prompt", "positions = ["]),
        ({}, ["calibration.unit is 'video'", "no [[sampling]] has that unit"]),
        ({"detector": "d.json", "scheduler": "cluster"}, ["needs a section [analysis.cluster]"]),
        ({"detector": "d.json", "cluster": {"type": "'a.B'"}}, ["[analysis.cluster] goes with scheduler = 'cluster'"]),
        ({"detector": "d.json", "locator": {"sigmas": [0.5, 1.0], "threshold": 0.5}}, ["several sigmas", "grid"]),
    ],
)
def test_contradictions_in_the_analysis_are_refused_at_birth(
    tmp_path: Path, analysis: dict[str, Any], words: list[str]
) -> None:
    lines = ["[analysis]", 'preset = "p"', 'method = "headhunt"', 'out = "o"']
    lines += [f"{key} = '{value}'" for key, value in analysis.items() if isinstance(value, str)]
    for key, table in analysis.items():
        if isinstance(table, dict):
            lines += [f"[analysis.{key}]", *(f"{name} = {value}" for name, value in table.items())]
    with pytest.raises(VadprobeError) as caught:
        load_job(write(tmp_path, JOB + "\n".join(lines)))
    for word in words:
        assert word in str(caught.value)


def test_an_analysis_reads_the_prompts_of_its_position(tmp_path: Path) -> None:
    prompts = (
        '{key = "coarse", positions = ["last-prompt", "last-vision"]}, {key = "mine", positions = ["last-vision"], '
    )
    lines = ["[analysis]", 'preset = "p"', 'method = "hiprobe"', 'out = "o"', 'position = "last-vision"']
    lines += ["[analysis.calibration]", 'unit = "segment"']
    text = JOB.replace('"coarse", {key = "mine", ', prompts) + "\n".join(lines)
    job = load_job(write(tmp_path, text))
    assert [store.stem for store in job.stores] == ["coarse", "coarse-last-vision", "mine-last-vision"]
    assert job.scored_prompts == ("coarse-last-vision", "mine-last-vision")
    assert [prompt.text for prompt in job.prompts][0::2] == [SHIPPED["coarse"].text, "Is there smoke?"]
    with pytest.raises(VadprobeError, match="score_prompt is 'coarse', but the prompts are coarse-last-vision, mine-"):
        load_job(write(tmp_path, text.replace("[analysis.cal", 'score_prompt = "coarse"\n[analysis.cal')))


def test_a_missing_file_a_folder_and_broken_toml_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(VadprobeError, match="there is no job file"):
        load_job(tmp_path / "absent.toml")
    with pytest.raises(VadprobeError, match="is a folder"):
        load_job(tmp_path)
    with pytest.raises(VadprobeError, match="not valid TOML"):
        load_job(write(tmp_path, "workspace = "))


def test_a_missing_backbone_folder_is_not_taken_for_a_hub_id(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, JOB))
    with pytest.raises(VadprobeError, match="there is no folder"):
        _ = job.backbone_folder
    (tmp_path / "backbone").mkdir()
    assert load_job(write(tmp_path, JOB)).backbone_folder == tmp_path.resolve() / "backbone"
    hub = load_job(write(tmp_path, JOB.replace('path = "backbone"', 'path = "owner/name"')))
    assert hub.backbone_folder is None


@pytest.mark.parametrize(("method", "locator"), [("hiprobe", ((0.4,), "adaptive")), ("headhunt", ((1.5,), 0.65))])
def test_a_job_without_a_locator_has_that_of_its_method(tmp_path: Path, method: str, locator: object) -> None:
    analysis = f'[analysis]\npreset = "p"\nmethod = "{method}"\nout = "o"\n[analysis.calibration]\nunit = "segment"\n'
    found = load_job(write(tmp_path, JOB + analysis)).analysis.locator
    assert (found.sigmas, found.threshold) == locator


def test_a_reading_against_the_convention_is_one_sentence_with_the_key(tmp_path: Path) -> None:
    analysis = '[analysis]\npreset = "p"\nmethod = "headhunt"\nout = "o"\nconvention = "headhunt-code"\n'
    sections = '[analysis.calibration]\nunit = "segment"\n[analysis.probe]\nmax_iterations = 1000\n'
    with pytest.raises(VadprobeError, match=r"analysis: probe.max_iterations is 1000, but .* sets 2000; leave"):
        load_job(write(tmp_path, JOB + analysis + sections))
