"""The file of a detector and the place of its backbone, both checked without torch."""

from pathlib import Path

from pydantic import ValidationError

from vadprobe.analyze.detector.detector import Detector
from vadprobe.extract.configuration import BackboneConfig
from vadprobe.store.errors import VadprobeError
from vadprobe.store.settings import explain

_CHATS = {"papers": "internvl-chat"}
_TAKES_FRAME_SIZE = ("qwen2_5_vl", "qwen3_vl", "qwen3_5")  # the other families' frame size is the checkpoint's own
LEVELS = 4
"""Folders above the detector's file, and above a video, that are searched."""


def read_detector(path: Path) -> Detector:
    """Read a detector of segments that may score incoming videos.

    Raises:
        VadprobeError: if the file holds no valid detector, its fit saw the videos that it was measured on, or it scores
            whole videos.
    """
    fitted = Detector.read(path)
    fitted.check_inductive()
    if fitted.features.sampling.unit != "segment":
        raise VadprobeError(f"{path} scores whole videos; a stream needs a detector of segments.")
    return fitted


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


def folder_of(name: str, near: Path, detector: Detector, *, is_given: bool) -> Path | None:
    """Return the checkpoint's folder; None for a hub id.

    Raises:
        VadprobeError: if the name reads like a local path and there is no such folder.
    """
    near, path = near.resolve(), Path(name).expanduser()
    starts = [Path(), near, *near.parents[:LEVELS]]
    # A detector is often sent together with its checkpoint's folder, which then lies near the file under its last name.
    for tried in (path,) if is_given else (path, Path(path.name)):
        for folder in (start / tried for start in starts):
            if folder.is_dir():
                return folder
    # The revision of a hub's checkpoint is a commit, that of a folder begins with "sha256:".
    was_folder = not is_given and detector.features.backbone.revision.startswith("sha256:")
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and not was_folder:
        return None
    whose = f"the backbone {name!r}" if is_given else f"the checkpoint {name!r}, which the detector's file names,"
    where = "does not exist" if path.is_absolute() else "is neither in the current folder nor near the detector's file"
    spec = detector.features.backbone
    raise VadprobeError(
        f"{whose} {where}. Name with --backbone the folder, or the hub id (owner/name), of the {spec.family} "
        f"checkpoint {spec.source!r}, revision {spec.revision}."
    )


def fitted_commit(detector: Detector) -> str | None:
    """Return the commit of the hub that a detector was fitted with; None where it was a folder, or is not known."""
    revision = detector.features.backbone.revision
    return None if revision.startswith("sha256:") or revision == "unknown" else revision
