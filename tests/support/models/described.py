"""Checkpoint folders, described as a job describes them."""

import shutil
from pathlib import Path
from typing import Any

from vadprobe.extract.configuration import BackboneConfig
from vadprobe.extract.model.backbone import Backbone, Description, describe, load


def described(folder: Path, **settings: Any) -> Description:
    """Describe a checkpoint, in float32 unless the settings say otherwise."""
    return describe(BackboneConfig(**{"key": "tiny", "path": str(folder), "dtype": "float32", **settings}), folder)


def loaded(folder: Path, **settings: Any) -> Backbone:
    """Load a checkpoint on the CPU."""
    return load(described(folder, **settings), "cpu", threads=1)


def without_weights(source: Path, target: Path) -> Path:
    """Copy a checkpoint's small files, so that a test can change them."""
    return Path(shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors")))
