"""The backbone that made a job's features, loaded once more to generate texts about the same videos."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vadprobe.extract.model.backbone import Backbone, Description, describe, load
from vadprobe.extract.model.devices import name_of
from vadprobe.extract.model.texts.generation import StepTimes
from vadprobe.extract.video.decoder import Decoder
from vadprobe.flows.jobs.job import Job
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.writing.timings.text_timings import TextTimings


@dataclass
class FeatureBackbone:
    """Backbone of a job's features; its weights are loaded at their first use."""

    job: Job
    spec: FeatureSpec

    @cached_property
    def description(self) -> Description:
        """The backbone as its small files describe it.

        Raises:
            VadprobeError: if its files are not those that made the features.
        """
        config = self.job.config
        found = describe(config.backbone, self.job.backbone_folder)
        if found.spec != self.spec.backbone:
            raise VadprobeError(
                f"the backbone {config.backbone.key!r} must be the one that the features came from, but "
                "its files were changed since. Restore the files, or extract the features again under another "
                "backbone key."
            )
        return found

    @cached_property
    def loaded(self) -> Backbone:
        """The backbone with its weights."""
        settings = self.job.config.extraction
        return load(self.description, settings.device, settings.threads)

    def frames(self, path: Path, frame_indices: Sequence[int], decoder: Decoder) -> Any:
        """Return frames of a video as the model takes them.

        Raises:
            VideoError: if the frames cannot be read.
        """
        return self.description.family.resize(decoder.read_clip(path, frame_indices))

    def write_timings(self, times: StepTimes, path: Path, before: TextTimings | None) -> None:
        """Write the seconds of texts, added to those of earlier calls, if first and later tokens were timed apart."""
        if not times.texts or not times.is_apart:
            return
        device, spec = name_of(self.loaded.device), self.spec
        mine = (spec.digest, device, spec.backbone.dtype, times.texts, times.first, times.later, times.later_tokens)
        TextTimings(*mine).added(before).write(path)
