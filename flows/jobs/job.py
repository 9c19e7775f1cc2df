"""A job file: one TOML file for both stages, validated as a whole before any work starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError, model_validator

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.extract.configuration import BackboneConfig, ExtractionConfig
from vadprobe.flows.jobs.job_files.merging import MergedJob, Place, read_merged
from vadprobe.flows.jobs.job_files.toml_text import toml_lines
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.location import StorePath, is_remote, location
from vadprobe.store.format.configuration import PromptConfig, SamplingConfig, StoreConfig
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.prompts import Position, Prompt, key_at
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.settings import Section

if TYPE_CHECKING:
    from vadprobe.extract.model.checkpoint.outline import KeptOutline


class JobConfig(Section):
    """Job file with all its sections."""

    workspace: str = Field(description="folder where relative paths begin, itself relative to the job file's folder")
    prompts: tuple[str | PromptConfig, ...] = Field(description="keys of shipped prompts, or tables, see `[[prompts]]`")
    dataset: DatasetConfig
    store: StoreConfig
    sampling: tuple[SamplingConfig, ...] = Field(min_length=1)
    backbone: BackboneConfig
    extraction: ExtractionConfig = ExtractionConfig()
    analysis: AnalysisConfig | None = None

    @model_validator(mode="after")
    def _parts_fit(self) -> "JobConfig":
        if not self.prompts:
            raise ValueError("the prompt set is empty; name at least one, for example prompts = ['coarse']")
        keys = [key for key, _ in self.prompt_keys]
        if len(set(keys)) < len(keys):
            raise ValueError(f"prompts name a key twice ({', '.join(keys)}); every prompt has its own store")
        samplings = [section.sampling().key for section in self.sampling]
        if len(set(samplings)) < len(samplings):
            raise ValueError(f"two samplings are the same ({', '.join(samplings)}); merge their splits")
        if self.analysis is not None:
            self._check_analysis(self.analysis)
        return self

    @property
    def prompt_tables(self) -> tuple[PromptConfig, ...]:
        """The prompts as tables, the shipped ones too."""
        return tuple(PromptConfig(key=one) if isinstance(one, str) else one for one in self.prompts)

    @property
    def prompt_keys(self) -> tuple[tuple[str, Position], ...]:
        """The key of every prompt, as its store is called, with its position, in the job's order."""
        return tuple((key_at(one.key, position), position) for one in self.prompt_tables for position in one.positions)

    def scored_keys(self, analysis: AnalysisConfig) -> tuple[str, ...]:
        """Return the keys of the prompts that are read at the position of an analysis."""
        return tuple(key for key, position in self.prompt_keys if position == analysis.position)

    def _check_analysis(self, analysis: AnalysisConfig) -> None:
        keys = self.scored_keys(analysis)
        if not keys:
            known = ", ".join(dict.fromkeys(position for _, position in self.prompt_keys))
            raise ValueError(
                f"analysis.position is {analysis.position!r}, but no prompt is read there, only at {known}; give a "
                f"prompt positions = [{analysis.position!r}]"
            )
        if analysis.score_prompt is not None and analysis.score_prompt not in keys:
            raise ValueError(
                f"analysis.score_prompt is {analysis.score_prompt!r}, but the prompts are {', '.join(keys)}"
            )
        units = {section.unit for section in self.sampling}
        if "segment" not in units:
            raise ValueError("the analysis scores segments, but no [[sampling]] has unit = 'segment'")
        if analysis.detector is None and analysis.calibration.unit not in units:
            raise ValueError(
                f"analysis.calibration.unit is {analysis.calibration.unit!r}, but no [[sampling]] has that unit"
            )


@dataclass(frozen=True)
class Job:
    """Validated job and the folder where its paths begin."""

    path: Path
    config: JobConfig
    workspace: Path

    @property
    def root(self) -> StorePath:
        """Folder, or URL, of the feature stores."""
        given = location(self.config.store.root)
        return given if is_remote(given) else self.workspace / given

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts in the job's order."""
        return tuple(prompt for table in self.config.prompt_tables for prompt in table.prompts())

    @property
    def scored_prompts(self) -> tuple[str, ...]:
        """Keys of the prompts that the analysis reads: those at its position."""
        return self.config.scored_keys(self.analysis)

    @property
    def layout(self) -> DatasetLayout:
        """Paths below the store root."""
        return DatasetLayout(self.root, self.config.dataset.name)

    @property
    def samplings(self) -> tuple[Sampling, ...]:
        """The samplings in the job's order."""
        return tuple(section.sampling() for section in self.config.sampling)

    @property
    def stores(self) -> tuple[StorePath, ...]:
        """Every store of the job."""
        return tuple(
            self.layout.store(sampling, self.config.backbone.key, prompt.key)
            for sampling in self.samplings
            for prompt in self.prompts
        )

    @property
    def backbone_folder(self) -> Path | None:
        """The checkpoint's folder, or None when the job names a hub id.

        Raises:
            VadprobeError: if it reads like a local path and there is no such folder.
        """
        name = self.config.backbone.path
        folder = self.workspace / name
        if folder.is_dir():
            return folder
        looks_local = name.startswith((".", "/", "~")) or name.count("/") != 1 or folder.parent.is_dir()
        if looks_local:
            raise VadprobeError(
                f"backbone {self.config.backbone.key!r}: there is no folder {folder}; give a checkpoint folder, or a "
                "hub id of the form owner/name."
            )
        return None

    @property
    def analysis(self) -> AnalysisConfig:
        """The analysis section.

        Raises:
            VadprobeError: if the job has none.
        """
        if self.config.analysis is None:
            raise VadprobeError(f"{self.path} has no section [analysis]; add one, or use 'vadprobe extract' alone.")
        return self.config.analysis

    @property
    def kept_outline(self) -> "KeptOutline | None":
        """Place of what is kept of the backbone since it was described; None if it must be described each time.

        A hub's checkpoint may be another one by now, and code of its own may read anything: both are always described.

        Raises:
            VadprobeError: if the checkpoint's weights are not there, or are only pointers to them.
        """
        config, folder = self.config.backbone, self.backbone_folder
        if folder is None or config.trust_remote_code:
            return None
        from vadprobe.extract.model.checkpoint.outline import KeptOutline
        from vadprobe.extract.model.checkpoint.weight_files import check_pointers, check_weights

        check_pointers(config.key, folder)
        check_weights(config.key, folder)
        asked = [(prompt.text, one.frames_per_clip, prompt.before) for one in self.samplings for prompt in self.prompts]
        return KeptOutline(self.steps / "backbone", config, folder, asked, self.config.extraction.device)

    @property
    def steps(self) -> Path:
        """Folder of what earlier runs have found out."""
        section = self.config.analysis
        return self.workspace / (section.steps if section is not None else AnalysisConfig.model_fields["steps"].default)

    @property
    def out(self) -> Path:
        """Folder of the analysis results."""
        config, name = self.config, self.analysis.out
        parts = {"dataset": config.dataset.name, "backbone": config.backbone.key, "method": self.analysis.method}
        for key, value in parts.items():
            name = name.replace(f"{{{key}}}", value)
        return self.workspace / name

    @property
    def digest(self) -> str:
        """SHA-256 of all settings with their defaults; the workspace, a place on one machine, is no part of it."""
        text = "\n".join(toml_lines(self.config.model_copy(update={"workspace": ""})))
        return digest_json(text)


def load_job(path: Path, workspace: Path | None = None) -> Job:
    """Read and validate a job file, with all that it extends.

    Args:
        path: the TOML file.
        workspace: the folder where relative paths begin, in place of the file's own `workspace`.

    Raises:
        VadprobeError: one sentence for every mistake, behind the file that it is in.
    """
    return checked_job(read_merged(path), workspace)


def checked_job(merged: MergedJob, workspace: Path | None = None) -> Job:
    """Validate what was read. Arguments and errors as of `load_job`."""
    try:
        config = JobConfig.model_validate(merged.content)
    except ValidationError as error:
        raise merged.explain(error, JobConfig) from error
    except VadprobeError as error:
        raise VadprobeError(f"{merged.path}: {error}") from error
    (said,) = merged.files_of(("workspace",))
    start = workspace if workspace is not None else said.path.parent / config.workspace
    job = Job(merged.path, config, start.resolve())
    try:
        _ = job.prompts  # an unknown key or an empty text is an error now, not after an hour
    except VadprobeError as error:
        raise VadprobeError(f"{merged.named(('prompts',))}: {error}") from error
    return job


def job_text(job: Job, merged: MergedJob) -> str:
    """Return a whole job as TOML that loads to the same job; behind a value stands the file that says it.

    Values of the job file itself have no such comment.
    """

    def origin(place: Place) -> str:
        found = merged.files_of(place)
        return "default" if not found else "" if found[0].path == merged.path else found[0].name

    whole = job.config.model_copy(update={"workspace": str(job.workspace)})
    names = ", ".join(file.name for file in merged.files)
    about = (f"# The whole job of {names}.", f"# Digest of its settings: {job.digest}")
    return "\n".join([*about, *toml_lines(whole, origin)]) + "\n"
