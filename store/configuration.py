"""Settings both stages share, and how a job file becomes validated objects."""

import difflib
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vadprobe.store.errors import VadprobeError
from vadprobe.store.records import Prompt, Sampling, Split


class Section(BaseModel):
    """A section of a job file: unknown keys are errors, values do not change after birth."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AnnotationConfig(Section):
    """One annotation file: intervals of videos, joined by name."""

    format: Literal["ucf-crime", "xd-violence"]
    path: str
    label_by_name: bool = Field(
        default=False,
        description="first label all videos by their names: normal and training videos are in no such file",
    )


class DatasetConfig(Section):
    """Section ``[dataset]``: where the videos are and what is known about them."""

    name: str = Field(description="folder name of the dataset in the store")
    format: Literal["manifest", "folder"] = "folder"
    videos: str = Field(description="folder of the video files")
    manifest: str | None = Field(default=None, description="folder with videos.parquet and intervals.parquet")
    annotations: tuple[AnnotationConfig, ...] = ()

    @model_validator(mode="after")
    def _manifest_fits(self) -> "DatasetConfig":
        if (self.format == "manifest") != (self.manifest is not None):
            raise ValueError("format 'manifest' needs the key 'manifest', format 'folder' must not have it")
        return self


class StoreConfig(Section):
    """Section ``[store]``: where features are kept."""

    root: str = Field(description="folder of the feature stores")


class SamplingConfig(Section):
    """One ``[[sampling]]``: how videos are cut into clips, and for which splits."""

    unit: Literal["segment", "video"]
    clip_length: int | None = Field(default=None, ge=1, description="frames of a clip; none for whole videos")
    frames_per_clip: int = Field(ge=1, description="frames of a clip that the backbone sees")
    splits: tuple[Split, ...] = ("train", "validation", "test")

    @model_validator(mode="after")
    def _parts_fit(self) -> "SamplingConfig":
        self.sampling()
        return self

    def sampling(self) -> Sampling:
        """The validated record."""
        return Sampling(self.unit, self.clip_length, self.frames_per_clip)


class PromptConfig(Section):
    """A prompt of one's own: its key and its text."""

    key: str
    text: str

    def prompt(self) -> Prompt:
        """The validated record."""
        return Prompt(self.key, self.text)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        VadprobeError: if there is none, or it is not TOML.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise VadprobeError(f"there is no job file {path}; presets are in the project's folder configs/.") from error
    except IsADirectoryError as error:
        raise VadprobeError(f"{path} is a folder; name a job file (TOML), such as configs/hiprobe.toml.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise VadprobeError(f"{path} is not valid TOML: {error}") from error


def explain(path: Path, error: ValidationError, model: type[BaseModel]) -> VadprobeError:
    """Turn pydantic's report into one sentence per mistake: the key, what was got, what is wanted."""
    sentences = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "the file"
        if item["type"] == "extra_forbidden":
            key = str(item["loc"][-1])
            known = _known_keys(model, item["loc"][:-1])
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}."
            sentences.append(f"unknown key {where!r}; {hint}")
        elif item["type"] == "missing":
            sentences.append(f"the key {where!r} is missing.")
        else:
            message = item["msg"].removeprefix("Value error, ")
            got = "" if isinstance(item["input"], dict | list | tuple | BaseModel) else f" (got {item['input']!r})"
            sentences.append(f"{where}: {message.removesuffix('.')}{got}.")
    return VadprobeError(f"{path}: " + " ".join(sentences))


def _known_keys(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the section at ``place``, followed through nested models and tuples of models."""
    current: type[BaseModel] | None = model
    for part in place:
        if isinstance(part, int) or current is None or part not in current.model_fields:
            continue
        current = _section_of(current.model_fields[part].annotation)
    return list((current or model).model_fields)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    parts = (_section_of(part) for part in getattr(annotation, "__args__", ()))
    return next((part for part in parts if part is not None), None)
