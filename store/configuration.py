"""Settings both stages share, and how a job file becomes validated objects."""

import difflib
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vadprobe.store.annotations.conventions import DEFAULT_CONVENTION, IntervalConvention
from vadprobe.store.errors import VadprobeError
from vadprobe.store.records import Prompt, Sampling, Split


class Section(BaseModel):
    """A section of a job file: unknown keys are errors, values do not change after birth."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AnnotationConfig(Section):
    """One annotation file laid over a folder of videos: intervals, joined by name."""

    format: Literal["ucf-crime", "xd-violence", "msad", "hivau"]
    path: str
    intervals: IntervalConvention = Field(default=DEFAULT_CONVENTION, description="what 's e' in the file means")
    label_by_name: bool = Field(
        default=False,
        description="first label all videos by their names: normal and training videos are in no such file",
    )


class ValidationConfig(Section):
    """Section ``[dataset.validation]``: annotated videos taken out of the test split, for the locator's grid."""

    fraction: float | None = Field(default=None, gt=0, lt=1, description="share of the annotated test videos")
    seed: int = Field(default=0, ge=0)
    videos: tuple[str, ...] = Field(default=(), description="names, in place of a draw")

    @model_validator(mode="after")
    def _one_way(self) -> "ValidationConfig":
        if (self.fraction is None) == (not self.videos):
            raise ValueError("name either a fraction to draw or the videos themselves")
        return self


DatasetFormat = Literal["folder", "manifest", "ucf-crime", "xd-violence", "msad", "hivau", "masks"]


class DatasetConfig(Section):
    """Section ``[dataset]``: where the videos are and what is known about them.

    "folder" is every video below a folder; "manifest" a table of one's own; the others are known sets, whose
    annotation, split lists and frame counts are looked up in the folder ``source`` (or beside the file ``source``).
    """

    name: str = Field(description="folder name of the dataset in the store")
    format: DatasetFormat = "folder"
    videos: str | None = Field(default=None, description="folder of the video files; not needed to evaluate scores")
    manifest: str | None = Field(
        default=None,
        description="a CSV, JSON Lines or Parquet table, or a folder with videos.parquet and intervals.parquet",
    )
    source: str | None = Field(default=None, description="a known set's annotation file, or the folder that holds it")
    intervals: IntervalConvention = Field(default=DEFAULT_CONVENTION, description="what 's e' in text files means")
    frame_counts: str | None = Field(default=None, description="CSV table of video,frames")
    train_list: str | None = Field(default=None, description="names of the training videos, one per line")
    test_list: str | None = Field(default=None, description="names of the test videos, one per line")
    annotations: tuple[AnnotationConfig, ...] = ()
    validation: ValidationConfig | None = None

    @model_validator(mode="after")
    def _parts_fit(self) -> "DatasetConfig":
        if (self.format == "manifest") != (self.manifest is not None):
            raise ValueError("format 'manifest' needs the key 'manifest', and no other format may have it")
        known = self.format not in ("folder", "manifest")
        if known != (self.source is not None):
            raise ValueError(
                f"format {self.format!r} "
                + (
                    "needs the key 'source', its annotation folder or file"
                    if known
                    else "must not have the key 'source'"
                )
            )
        if self.format == "folder" and self.videos is None:
            raise ValueError("format 'folder' needs the key 'videos'")
        if self.annotations and known:
            raise ValueError(f"[[dataset.annotations]] go with 'folder' and 'manifest'; {self.format!r} has its own")
        if self.validation is not None and self.format == "folder" and not self.annotations:
            raise ValueError("a validation split is drawn from annotated videos, and a plain folder has none")
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
    layers: tuple[int, ...] | None = Field(
        default=None, description="layers of the hidden states to keep, 0 is the embedding; by default all"
    )
    heads: tuple[tuple[int, int], ...] | None = Field(
        default=None, description="heads to keep as [block, head] from 0; by default all"
    )
    answers: bool = Field(
        default=True, description="keep the logits of yes and no; without them a pass ends at the deepest layer kept"
    )
    full_splits: tuple[Split, ...] = Field(
        default=(), description="splits that keep every layer and head all the same, for example to calibrate on"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> "SamplingConfig":
        self.sampling()
        stray = [split for split in self.full_splits if split not in self.splits]
        if stray:
            raise ValueError(f"full_splits names {stray[0]!r}, which is not among the splits {', '.join(self.splits)}")
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
