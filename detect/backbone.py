"""The backbone of a detector: found, described, and refused if the detector was fitted with another one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vadprobe.analyze.detector.detector import Detector
from vadprobe.extract.configuration import BackboneConfig, ExtractionConfig
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
from vadprobe.store.settings import explain

_CHATS = {"papers": "internvl-chat"}
_TAKES_FRAME_SIZE = ("qwen2_5_vl", "qwen3_vl", "qwen3_5")  # the other families' frame size is the checkpoint's own
_LEVELS = 4  # folders above the detector's file, and above a video, that are searched


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
    folder = _folder(config.path, near, detector, is_given=path is not None)
    if folder is None and config.revision is None:
        config = config.model_copy(update={"revision": _commit(detector)})
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


def backbone_config(detector: Detector, path: str | None = None) -> BackboneConfig:
    """Return the settings that load a detector's backbone, as packed in its file, or else derived from its features.

    Raises:
        VadprobeError: if the file names no path and none is given, or its settings are wrong.
    """
    spec, packed = detector.features, dict(detector.packed.get("backbone", {}))
    recipe = spec.recipe
    if not packed:
        size = recipe.get("frame_size") if spec.backbone.family in _TAKES_FRAME_SIZE else None
        chat = _CHATS.get(str(recipe.get("chat")), "native")
        system = recipe.get("system") if chat == "native" else None
        packed = {"path": spec.backbone.source, "frame_size": size, "chat": chat, "system": system}
    packed |= {"key": spec.backbone.key, "dtype": spec.backbone.dtype, "attention": spec.backbone.attention}
    packed.pop("trust_remote_code", None)  # a file that somebody sent must never switch this on
    if path is not None:
        packed |= {"path": path, "revision": None}
    try:
        return BackboneConfig.model_validate({name: value for name, value in packed.items() if value is not None})
    except ValidationError as error:
        raise explain(Path("the detector's backbone"), error, BackboneConfig) from error


def _folder(name: str, near: Path, detector: Detector, *, is_given: bool) -> Path | None:
    """Return the checkpoint's folder; None for a hub id.

    Raises:
        VadprobeError: if the name reads like a local path and there is no such folder.
    """
    near, path = near.resolve(), Path(name).expanduser()
    starts = [Path(), near, *near.parents[:_LEVELS]]
    # A detector is often sent together with its checkpoint's folder, which then lies near the file under its last name.
    for tried in (path,) if is_given else (path, Path(path.name)):
        for folder in (start / tried for start in starts):
            if folder.is_dir():
                return folder
    # The revision of a hub's checkpoint is a commit, that of a folder begins with "sha256:".
    was_folder = not is_given and detector.features.backbone.revision.startswith("sha256:")
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and not was_folder:
        return None
    whose = "the backbone" if is_given else "the checkpoint that the detector's file names,"
    where = "does not exist" if path.is_absolute() else "is neither in the current folder nor near the detector's file"
    spec = detector.features.backbone
    raise VadprobeError(
        f"{whose} {name!r} {where}. Name with --backbone the folder, or the hub id (owner/name), of the {spec.family} "
        f"checkpoint {spec.source!r}, revision {spec.revision}."
    )


def _commit(detector: Detector) -> str | None:
    revision = detector.features.backbone.revision
    return None if revision.startswith("sha256:") or revision == "unknown" else revision


def is_drawn_file(path: Path) -> bool:
    """Return True if vadprobe drew the video, as the card of the generated set around it says."""
    path = path.resolve()
    for folder in path.parents[:_LEVELS]:
        video = Video("video", path.relative_to(folder).as_posix())
        if is_drawn(Dataset("videos", folder, (video,))):
            return True
    return False
