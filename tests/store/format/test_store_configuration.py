"""Settings both stages share: a mistake becomes a sentence with its key and the rule; the shipped prompts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from tests.support.strategies import MODERATE, samplings
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.names import check_key
from vadprobe.store.format.configuration import PromptConfig, SamplingConfig, StoreConfig
from vadprobe.store.format.prompts import SHIPPED, Prompt, shipped
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.settings import Section, explain, read_toml

DATASET = {"name": "day", "videos": "videos"}


class JobLike(Section):
    """A file of every shape a job file has: sections, lists of sections, values of two kinds."""

    dataset: DatasetConfig
    sampling: tuple[SamplingConfig, ...] = Field(default=(), max_length=2)
    store: StoreConfig | None = None
    prompts: tuple[str | PromptConfig, ...] = ()

    @model_validator(mode="after")
    def _names_no_sampling_twice(self) -> "JobLike":
        keys = [section.sampling().key for section in self.sampling]
        if len(set(keys)) < len(keys):
            raise ValueError("two samplings are the same")
        return self


def sentence_of(path, content):
    """Return what a user reads about a file of this content."""
    with pytest.raises(ValidationError) as caught:
        JobLike.model_validate(content)
    error = explain(path, caught.value, JobLike)
    assert isinstance(error, VadprobeError)
    assert str(error).startswith(f"{path}: ")
    return str(error).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, "the key 'dataset' is missing."),
        ({"dataset": {"name": "day"}}, "dataset: format 'folder' needs the key 'videos'."),
        ({"dataset": DATASET, "dateset": 1}, "unknown key 'dateset'; did you mean 'dataset'?"),
        (
            {"dataset": {**DATASET, "colour": 1}},
            "unknown key 'dataset.colour'; known keys are name, format, videos, manifest, source, intervals, "
            "frame_counts, train_list, test_list, annotations, validation.",
        ),
        (
            {"dataset": {**DATASET, "annotations": [{"format": "ucf-crime", "paths": "a.txt", "path": "a.txt"}]}},
            "unknown key 'dataset.annotations.0.paths'; did you mean 'path'?",
        ),
        (
            {"dataset": DATASET, "sampling": [{"unit": "video", "frames_per_clip": 8, "frame_per_clips": 8}]},
            "unknown key 'sampling.0.frame_per_clips'; did you mean 'frames_per_clip'?",
        ),
        ({"dataset": DATASET, "store": {"root": "r", "rot": 1}}, "unknown key 'store.rot'; did you mean 'root'?"),
        ({"dataset": {**DATASET, "videos": 3}}, "dataset.videos: Input should be a valid string (got 3)."),
        (
            {"dataset": DATASET, "sampling": [{"unit": "video", "frames_per_clip": 0}]},
            "sampling.0.frames_per_clip: Input should be greater than or equal to 1 (got 0).",
        ),
        (
            {"dataset": DATASET, "sampling": [{"unit": "clip", "frames_per_clip": 1}]},
            "sampling.0.unit: Input should be 'segment' or 'video' (got 'clip').",
        ),
        (
            {"dataset": {**DATASET, "format": "manifest"}},
            "dataset: format 'manifest' needs the key 'manifest', and no other format may have it.",
        ),
        (
            {"dataset": DATASET, "sampling": [{"unit": "video", "frames_per_clip": 8}] * 2},
            "the file: two samplings are the same.",
        ),
        (
            {"dataset": DATASET, "sampling": {"unit": "video"}},
            "sampling must be a list of tables, each below a line [[sampling]], got one table.",
        ),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, content, expected):
    assert sentence_of(tmp_path / "job.toml", content) == expected


def test_every_mistake_is_told(tmp_path):
    content = {"dataset": {"name": 1, "formats": "folder"}, "sampling": [{"unit": "video", "frames_per_clip": "many"}]}
    sentence = sentence_of(tmp_path / "job.toml", content)
    for part in ("dataset.name: ", "'format'?", "sampling.0.frames_per_clip: "):
        assert part in sentence


def test_an_unknown_key_of_a_prompt_table_is_told(tmp_path):
    content = {"dataset": DATASET, "prompts": ["coarse", {"key": "own", "text": "What?", "txt": "What?"}]}
    assert "unknown key 'prompts.1.PromptConfig.txt'; did you mean 'text'?" in sentence_of(tmp_path / "j", content)


def test_a_sentence_ends_once(tmp_path):
    section = {"unit": "segment", "clip_length": 4, "frames_per_clip": 8}
    assert not sentence_of(tmp_path / "job.toml", {"dataset": DATASET, "sampling": [section]}).endswith("..")


@MODERATE
@given(samplings())
def test_a_sampling_section_becomes_the_record(sampling):
    section = SamplingConfig(
        unit=sampling.unit, clip_length=sampling.clip_length, frames_per_clip=sampling.frames_per_clip
    )
    assert section.sampling() == sampling
    assert section.splits == ("train", "validation", "test")


def test_sections_do_not_change_and_refuse_contradictions():
    section = SamplingConfig(unit="video", frames_per_clip=8)
    with pytest.raises(ValidationError, match="frozen"):
        section.unit = "segment"
    with pytest.raises(ValidationError, match="no other format may have it"):
        DatasetConfig(**DATASET, manifest="manifest")
    assert section.sampling() == Sampling("video", None, 8)


def test_a_toml_file_is_read(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text('workspace = "ä"\n[[sampling]]\nunit = "video"\n', encoding="utf-8")
    assert read_toml(path) == {"workspace": "ä", "sampling": [{"unit": "video"}]}


@pytest.mark.parametrize("content", [b"a = ", b"a = 1\na = 2", b"\xff\xfe", b"a b"])
def test_what_is_not_toml_is_refused(tmp_path, content):
    (tmp_path / "job.toml").write_bytes(content)
    with pytest.raises(VadprobeError, match=rf"{tmp_path}/job.toml is not valid TOML: .+"):
        read_toml(tmp_path / "job.toml")


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(VadprobeError, match=rf"no job file {tmp_path}/job.toml.*presets are in .*configs/"):
        read_toml(tmp_path / "job.toml")
    with pytest.raises(VadprobeError, match=rf"{tmp_path} is a folder; name a job file"):
        read_toml(tmp_path)


def test_shipped_prompts_can_name_stores_and_differ():
    assert len({prompt.text for prompt in SHIPPED.values()}) == len(SHIPPED)
    for key, prompt in SHIPPED.items():
        assert check_key("a prompt", key) == prompt.key
        assert shipped(key) is prompt
        assert prompt.text == " ".join(prompt.text.split())


@given(st.text(max_size=8).filter(lambda key: key not in SHIPPED))
@MODERATE
def test_an_unknown_prompt_is_refused_with_the_known_ones(key):
    with pytest.raises(VadprobeError) as error:
        shipped(key)
    assert repr(key) in str(error.value)
    assert all(known in str(error.value) for known in SHIPPED)


def test_a_prompt_of_ones_own_is_checked_like_the_shipped():
    assert PromptConfig(key="mine", text="What happens?").prompts() == (Prompt("mine", "What happens?"),)
    with pytest.raises(VadprobeError, match="prompt's key is 'a/b'"):
        PromptConfig(key="a/b", text="What happens?").prompts()


def test_a_prompt_at_several_positions_has_a_store_for_each():
    shared = PromptConfig(key="coarse", before="A camera.", positions=("last-prompt", "mean-vision")).prompts()
    text = SHIPPED["coarse"].text
    assert shared == (
        Prompt("coarse", text, "A camera."),
        Prompt("coarse-mean-vision", text, "A camera.", "mean-vision"),
    )
    assert Prompt("coarse", text).to_json() == {"key": "coarse", "text": text}  # as format version 1 has it
    assert [prompt.format_version for prompt in (Prompt("coarse", text), *shared)] == [1, 2, 2]
    with pytest.raises(VadprobeError, match=r"position must be one of last-prompt, .*, got 'first'"):
        Prompt("coarse", text, position="first")
    with pytest.raises(VadprobeError, match="nothing but space before the video"):
        Prompt("coarse", text, " ")
