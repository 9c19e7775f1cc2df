"""The section `[dataset]` of a job file."""

from typing import Literal

from pydantic import Field, model_validator

from vadprobe.store.datasets.annotations.conventions import DEFAULT_CONVENTION, IntervalConvention
from vadprobe.store.settings import Section


class AnnotationConfig(Section):
    """One annotation file for a folder of videos, joined by name; its labels and intervals replace earlier ones."""

    format: Literal["ucf-crime", "xd-violence", "msad", "tad", "hivau"] = Field(
        description="the set whose format it has"
    )
    path: str = Field(description="the annotation file")
    intervals: IntervalConvention = Field(default=DEFAULT_CONVENTION, description="what 's e' in the file means")
    label_by_name: bool = Field(
        default=False,
        description="first label all videos by their names, as such a file does not list normal and training videos",
    )


class ValidationConfig(Section):
    """Section `[dataset.validation]`: annotated videos taken out of the test split, for the locator's grid."""

    fraction: float | None = Field(default=None, gt=0, lt=1, description="fraction of the annotated test videos")
    seed: int = Field(default=0, ge=0, description="seed of the draw")
    videos: tuple[str, ...] = Field(default=(), description="names of the validation videos, in place of a draw")

    @model_validator(mode="after")
    def _one_way(self) -> "ValidationConfig":
        if (self.fraction is None) == (not self.videos):
            raise ValueError("name either a fraction to draw or the videos themselves")
        return self


DatasetFormat = Literal["folder", "manifest", "ucf-crime", "xd-violence", "msad", "tad", "hivau", "masks", "ubnormal"]


class DatasetConfig(Section):
    """Section `[dataset]`: where the videos are and what is known about them.

    "folder" is every video below a folder, "manifest" a table of your own. The other formats are known sets, whose
    annotation, split lists and frame counts are looked up in the folder `source` (or beside the file `source`).
    """

    name: str = Field(description="folder name of the dataset in the store")
    format: DatasetFormat = Field(default="folder", description="how videos and annotation are laid out")
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
            rule = (
                "needs the key 'source', its annotation folder or file" if known else "must not have the key 'source'"
            )
            raise ValueError(f"format {self.format!r} {rule}")
        if self.format == "folder" and self.videos is None:
            raise ValueError("format 'folder' needs the key 'videos'")
        if self.annotations and known:
            raise ValueError(f"[[dataset.annotations]] go with 'folder' and 'manifest'; {self.format!r} has its own")
        if self.validation is not None and self.format == "folder" and not self.annotations:
            raise ValueError("a validation split is drawn from annotated videos, and a plain folder has none")
        return self
