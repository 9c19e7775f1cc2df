"""The backbone of a detector: found, described, and refused if the detector was fitted with another one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadprobe.analyze.detector.detector import Detector
from vadprobe.detect.backbone.finding import LEVELS, backbone_config, fitted_commit, folder_of
from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.model.backbone import Description, describe
from vadprobe.extract.model.checkpoint.card import short_card
from vadprobe.extract.model.devices import choose_device
from vadprobe.extract.pipeline.recipe import input_recipe
from vadprobe.store.datasets.dataset import Dataset, is_drawn
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import FeatureSpec, backbone_notes


@dataclass(frozen=True)
class MatchedBackbone:
    """A backbone that fits a detector.

    Attributes:
        description: the backbone, from its small files.
        spec: specification of the features that it computes for the detector.
        extraction: settings of the passes.
    """

    description: Description
    spec: FeatureSpec
    extraction: ExtractionConfig

    def notes(self, drawn: bool) -> tuple[str, ...]:
        """Return the sentences that must stand beside scores of videos; `drawn` is True if vadprobe drew the videos."""
        recipe = {**self.spec.recipe, "drawn": drawn}
        return (*backbone_notes(self.spec.backbone.key, recipe), *self.description.notes)


def match_backbone(
    detector: Detector, near: Path, path: str | None = None, device: str = "auto", threads: int | None = None
) -> MatchedBackbone:
    """Find and describe the backbone of a detector; no weights are loaded.

    Args:
        detector: the detector, read from its file.
        near: folder of that file. A relative path of the backbone begins in the current folder, in this one, or above.
        path: the checkpoint's folder or hub id, in place of the one that the file names.
        device: as `extraction.device` of a job.
        threads: as `extraction.threads`.

    Raises:
        VadprobeError: if no backbone is found, or it differs from the one that the detector was fitted with; the error
            names the part.
    """
    config = backbone_config(detector, path)
    folder = folder_of(config.path, near, detector, is_given=path is not None)
    if folder is None and config.revision is None:
        config = config.model_copy(update={"revision": fitted_commit(detector)})
    description = describe(config, folder)
    recipe = detector.features.recipe
    extraction = ExtractionConfig.model_validate(
        {
            "device": device,
            "threads": threads,
            "prefix": "independent" if recipe.get("prefix") == "independent" else "shared",
        }
    )
    spec = described_spec(detector, description, extraction)
    differences = detector.differences(spec)
    if differences:
        raise VadprobeError(
            f"the backbone {config.path!r} is not the one that the detector {detector.preset!r} was fitted with: "
            + "; ".join(differences)
            + ". Name the right checkpoint with --backbone, or fit a detector on this one's features."
        )
    return MatchedBackbone(description, spec, extraction)


def described_spec(
    detector: Detector,
    description: Description,
    extraction: ExtractionConfig,
    prompt: Prompt | None = None,
    sampling: Sampling | None = None,
) -> FeatureSpec:
    """Return the specification of what a backbone would compute, to be compared with a detector's features.

    Prompt and sampling are the detector's own where none are given.

    Raises:
        VadprobeError: if the prompt, or a clip with the sampling's number of frames, cannot be prepared.
    """
    prompt, sampling = prompt or detector.features.prompt, sampling or detector.features.sampling
    device = choose_device(extraction.device).type
    recipe: dict[str, Any] = input_recipe(description, prompt, sampling, extraction, device)
    if description.card is not None:
        recipe["backbone_card"] = short_card(description.card)
    return FeatureSpec("", "", 0, sampling, description.spec, prompt, recipe)


def is_drawn_file(path: Path) -> bool:
    """Return True if vadprobe drew the video, as the card of the generated set around it says."""
    path = path.resolve()
    for folder in path.parents[:LEVELS]:
        video = Video("video", path.relative_to(folder).as_posix())
        if is_drawn(Dataset("videos", folder, (video,))):
            return True
    return False
