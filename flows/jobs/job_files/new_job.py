"""Settings of a new job for your own videos: score them with a detector, fit one on labels, or only extract."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.prompts import SHIPPED

if TYPE_CHECKING:
    from vadprobe.analyze.detector.detector import Detector

Method = Literal["hiprobe", "headhunt"]

_METHODS: Mapping[str, Mapping[str, Any]] = {
    "hiprobe": {
        "prompts": ("detailed",),
        "clip": (24, 8),
        "analysis": {"locator": {"sigmas": (0.4,), "threshold": "adaptive"}},
    },
    "headhunt": {
        "prompts": ("coarse", "detailed", "question"),
        "clip": (48, 16),
        "analysis": {"score_prompt": "coarse", "locator": {"sigmas": (1.5,), "threshold": 0.65}},
    },
}
"""Prompts, frames of a segment, frames seen of it, and the locator of each method, as the papers print them."""


@dataclass(frozen=True)
class NewJob:
    """Choices that make a new job.

    Attributes:
        folder: folder of the job file.
        videos: folder of the video files.
        name: name of the dataset.
        backbone: checkpoint folder or hub id; None for that of the detector.
        detector: detector.json fitted elsewhere; None to fit on the labels.
        labels: a table of your own (manifest), or a known set's annotation or its folder; None for no labels.
        label_format: format of the labels.
        method: method to fit by.
        prefix: beginning of the names of the folders that the job fills, so that two jobs in one folder do not collide.
    """

    folder: Path
    videos: Path
    name: str
    backbone: str | None
    detector: Path | None = None
    labels: Path | None = None
    label_format: str = "manifest"
    method: Method = "hiprobe"
    prefix: str = ""

    def settings(self) -> dict[str, Any]:
        """Return the content of the job file, with paths relative to its folder where they share a folder with it.

        Raises:
            VadprobeError: if the detector's file cannot be used, or no backbone is named.
        """
        if self.detector is not None:
            return self._scored(self.detector)
        if self.backbone is None:
            raise VadprobeError("no backbone is named; give --backbone, a checkpoint folder or a hub id.")
        key = Path(self.backbone).name.lower() or "backbone"
        settings = self._begun({"key": key, "path": self._reference(self.backbone), "dtype": "bfloat16"})
        way = _METHODS[self.method]
        length, seen = way["clip"]
        scored = {"unit": "segment", "clip_length": length, "frames_per_clip": seen}
        if self.labels is None:
            return {**settings, "prompts": way["prompts"], "sampling": (scored,)}
        analysis = {
            "preset": self.method,
            "method": self.method,
            "out": f"{self.prefix}results/{self.method}",
            "calibration": {"unit": "video", "fraction": 1.0},
            **way["analysis"],
        }
        fitted = {"unit": "video", "frames_per_clip": seen, "splits": ("train",)}
        scored["splits"] = ("validation", "test")
        return {**settings, "prompts": way["prompts"], "sampling": (scored, fitted), "analysis": analysis}

    def _scored(self, path: Path) -> dict[str, Any]:
        """Return a job that scores with a detector: its prompt, sampling and backbone, and only the parts it reads."""
        from vadprobe.analyze.detector.detector import Detector

        detector = Detector.read(path)
        spec = detector.features
        prompt = spec.prompt
        is_shipped = prompt.key in SHIPPED and SHIPPED[prompt.key].text == prompt.text
        sampling = {
            "unit": spec.sampling.unit,
            "clip_length": spec.sampling.clip_length,
            "frames_per_clip": spec.sampling.frames_per_clip,
            "detector": self._seen(path),
        }
        method = "hiprobe" if detector.selection.unit == "layer" else "headhunt"
        analysis = {"preset": self.name, "method": method, "out": f"{self.prefix}results", "detector": self._seen(path)}
        return {
            **self._begun(self._backbone_of(detector)),
            "prompts": (prompt.key if is_shipped else {"key": prompt.key, "text": prompt.text},),
            "sampling": (sampling,),
            "analysis": analysis,
        }

    def _backbone_of(self, detector: "Detector") -> dict[str, Any]:
        """Return the [backbone] section of a detector: as `detector build` packed it, or derived from its features."""
        spec, packed = detector.features, detector.packed.get("backbone") or {}
        given: dict[str, Any] = {"dtype": spec.backbone.dtype, "attention": spec.backbone.attention, **packed}
        frame_size = spec.recipe.get("frame_size")
        if not packed and frame_size and spec.backbone.family.startswith("qwen"):
            given["frame_size"] = frame_size
        kept = {name: value for name, value in given.items() if value is not None}
        path = kept.get("path") or spec.backbone.source
        return {**kept, "key": spec.backbone.key, "path": self._reference(self.backbone) if self.backbone else path}

    def _begun(self, backbone: dict[str, Any]) -> dict[str, Any]:
        """Return the sections that every job has."""
        dataset: dict[str, Any] = {"name": self.name, "format": "folder", "videos": self._seen(self.videos)}
        if self.labels is not None:
            where = "manifest" if self.label_format == "manifest" else "source"
            dataset |= {"format": self.label_format, where: self._seen(self.labels)}
        return {"workspace": ".", "dataset": dataset, "store": {"root": f"{self.prefix}features"}, "backbone": backbone}

    def _reference(self, backbone: str) -> str:
        """Return a checkpoint folder as a path from the job's folder, or a hub id as it is."""
        return self._seen(Path(backbone)) if Path(backbone).exists() else backbone

    def _seen(self, path: Path) -> str:
        """Return a path from the job's folder; the absolute path if the two share no folder."""
        target, start = path.absolute(), self.folder.absolute()
        shares = os.path.commonpath((target, start)) != target.anchor
        return Path(os.path.relpath(target, start)).as_posix() if shares else str(target)
