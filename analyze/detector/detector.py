"""The detector: everything that was fitted, in one JSON file that scores new videos."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vadprobe.analyze.detector.plain_values import PACKED, check_numbers, read_plain
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.probes.kinds.registry import Probe, probe_from_json
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.errors import VadprobeError, near_file
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.format.specification import FeatureSpec

SCHEMA_VERSION = 2
"""Version of the file. Files without a version are version 1: they lack backbone settings, calibration and result."""

_RUN_ONLY = frozenset({"device", "batch_clips", "prefix", "compile", "drawn"})
"""Keys of a recipe that do not change the meaning of features: how they were computed, and of which videos."""

_NAMES_ONLY = ("backbone.key", "backbone.source", "prompt.key")
"""Names that a user chooses; weights are compared by their digest, prompts by their text."""

_PARTS: Mapping[str, str] = {
    "backbone.revision": "revision",
    "backbone.dtype": "dtype",
    "backbone": "backbone",
    "sampling": "sampling",
    "prompt": "prompt",
    "recipe.frame_size": "frame size",
    "recipe.chat_template": "chat template",
    "recipe.chat": "chat template",
    "recipe.system": "chat template",
    "recipe": "recipe",
}
"""Words for messages by the beginning of a field's name; the first that fits is used."""

_MOST_FRAMES, _MOST_REACH = 1 << 20, 1 << 16  # frames of a segment; segments that smoothing reaches to a side


@dataclass(frozen=True, eq=False)
class Detector:
    """A selection of a backbone's layers or heads, a probe on them and a locator, fitted on one dataset.

    Attributes:
        preset: name of the analysis' result, `preset` of the job.
        selection: the selected layers or heads.
        probe: the fitted probe.
        locator: the smoothing and the threshold.
        features: specification of the scored store, whose features the probe reads.
        provenance: digests and names of what the detector was fitted on.
        packed: parts that `vadprobe detector build` adds, by the names in `plain_values.PACKED`: settings that load the
            backbone, a summary of the calibration, the measured test result, digests and notes.
    """

    preset: str
    selection: Selection
    probe: Probe
    locator: Locator
    features: FeatureSpec
    provenance: dict[str, Any]
    packed: dict[str, Any] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that every reader of its scores must know."""
        fitted = self.provenance.get("notes")
        said = [*(fitted if isinstance(fitted, list) else ()), *self.packed.get("notes", ())]
        return tuple(dict.fromkeys(str(note) for note in said))

    @property
    def fps(self) -> tuple[float, float] | None:
        """Lowest and highest frame rate of the videos it was fitted on; None where they are not known."""
        match self.provenance.get("fps"):
            case [float() | int() as lowest, float() | int() as highest] if 0 < lowest <= highest:
                return float(lowest), float(highest)
        return None

    def check_inductive(self) -> None:
        """Refuse a transductive detector, whose fit saw the videos it was to score; it cannot score incoming videos.

        Raises:
            VadprobeError: naming the number of those videos, and how to fit an inductive detector.
        """
        seen = self.provenance.get("unlabelled_on", {})
        if seen:
            raise VadprobeError(
                f"the detector {self.preset!r} is transductive: its fit saw the features of the "
                f"{len(seen)} videos that it was measured on. A new video is not among them, so nothing is "
                "known about its scores. Fit the detector with probe.statistics = 'calibration'."
            )

    def differences(self, spec: FeatureSpec) -> list[str]:
        """Name each field whose meaning differs from the fitted features, as `part (field: theirs, not mine)`."""
        found = [
            line for line in _meaning(spec).differences(_meaning(self.features)) if not line.startswith(_NAMES_ONLY)
        ]
        return [f"{_part(line)} ({line})" for line in found]

    def check(self, spec: FeatureSpec) -> None:
        """Refuse a store whose features have another meaning than those that the detector was fitted on.

        Raises:
            VadprobeError: if backbone, prompt, sampling or recipe differ; the message names what.
        """
        differences = self.differences(spec)
        if differences:
            raise VadprobeError(
                f"the detector {self.preset!r} was fitted on other features than the store holds: "
                + "; ".join(differences)
                + ". Extract with the detector's backbone, prompt and sampling, or fit a detector on this store."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the whole file as plain JSON values."""
        return {
            "schema_version": SCHEMA_VERSION,
            "preset": self.preset,
            "selection": self.selection.to_json(),
            "probe": self.probe.to_json(),
            "locator": self.locator.to_json(),
            "features": self.features.to_json(),
            "provenance": self.provenance,
            **self.packed,
        }

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> "Detector":
        """Read a file that `write` wrote, in this version or an earlier one.

        Raises:
            VadprobeError: if there is no such file, or it is not a detector: damaged, edited, or of a later version.
        """
        try:
            value = read_plain(path)
        except FileNotFoundError as error:
            raise VadprobeError(
                f"there is no detector {path}{near_file(path)} 'vadprobe analyze' of a job with training videos writes "
                "detector.json."
            ) from error
        version = value.get("schema_version", 1)
        if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
            raise VadprobeError(
                f"{path}: schema_version must be a number from 1 to {SCHEMA_VERSION}, got {version!r}. A later version "
                "of vadprobe reads it."
            )
        try:
            detector = cls._of(value, path)
        except VadprobeError as error:
            raise VadprobeError(f"{path} is not a sound detector: {error}") from error
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise VadprobeError(
                f"{path} is not a sound detector: a part is of the wrong kind ({error}). The file may have "
                "been edited; use the original."
            ) from error
        return detector

    @classmethod
    def _of(cls, value: dict[str, Any], path: Path) -> "Detector":
        probe_kind = value["probe"]
        check_numbers(probe_kind, tuple(name for name in probe_kind if isinstance(probe_kind[name], list)), path)
        detector = cls(
            preset=value["preset"],
            selection=Selection.from_json(value["selection"]),
            probe=probe_from_json(probe_kind),
            locator=Locator.from_json(value["locator"]),
            features=FeatureSpec.from_json(value["features"]),
            provenance=value["provenance"],
            packed={name: value[name] for name in PACKED if name in value},
        )
        detector._check_fit()
        return detector

    def _check_fit(self) -> None:
        """Refuse parts that do not fit together, or whose sizes would exhaust a computer.

        Raises:
            VadprobeError: naming the part.
        """
        backbone, sampling, is_layer = self.features.backbone, self.features.sampling, self.selection.unit == "layer"
        known = {(layer,) for layer in range(backbone.n_layers + 1)} if is_layer else set(backbone.heads)
        for index in self.selection.indices:
            if index not in known:
                raise VadprobeError(
                    f"the selection names {self.selection.unit} {index}, which the backbone does not have."
                )
        wide, shapes = backbone.hidden_size, backbone.head_shapes
        n_features = sum(wide if is_layer else shapes[index[0]][1] for index in self.selection.indices)
        if len(self.probe.mean) != n_features:
            raise VadprobeError(f"the probe must have {n_features} features, got {len(self.probe.mean)}.")
        for name, frames in (("clip_length", sampling.clip_length), ("frames_per_clip", sampling.frames_per_clip)):
            whole = isinstance(frames, int) and not isinstance(frames, bool) and 0 < frames <= _MOST_FRAMES
            if frames is not None and not whole:
                raise VadprobeError(f"sampling.{name} must be a number from 1 to {_MOST_FRAMES:,}, got {frames!r}.")
        reach = self.locator.smoothing.radius(self.locator.sigma)
        if reach > _MOST_REACH:
            raise VadprobeError(f"the smoothing must reach at most {_MOST_REACH:,} segments to a side, got {reach:,}.")


def _part(line: str) -> str:
    return next((part for beginning, part in _PARTS.items() if line.startswith(beginning)), "recipe")


def _meaning(spec: FeatureSpec) -> FeatureSpec:
    """Return the specification without the fields that belong to one dataset or one run."""
    recipe = {name: value for name, value in spec.recipe.items() if name not in _RUN_ONLY}
    return FeatureSpec("", "", 0, spec.sampling, spec.backbone, spec.prompt, recipe)
