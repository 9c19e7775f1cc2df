"""A detector: everything that was fitted, in one JSON file that scores new videos."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.probes.kinds.registry import Probe, probe_from_json
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json, write_json
from vadprobe.store.format.specification import FeatureSpec

_RUN_ONLY = frozenset({"device", "batch_clips", "prefix", "compile", "drawn"})
"""Parts of a recipe that say how features were computed, or of which videos, not what they are."""

_NAMES_ONLY = ("backbone.key", "backbone.source", "prompt.key")
"""Names a user gives; the weights are told apart by their digest, the prompts by their text."""


@dataclass(frozen=True, eq=False)
class Detector:
    """A selection of a backbone's layers or heads, a probe on them and a locator, fitted on one dataset.

    `features` is the specification of the store the probe reads (of the scored sampling), `provenance` the digests
    of what it was fitted on.
    """

    preset: str
    selection: Selection
    probe: Probe
    locator: Locator
    features: FeatureSpec
    provenance: dict[str, Any]

    def check(self, spec: FeatureSpec) -> None:
        """Refuse a store whose features do not mean the same as those the detector was fitted on.

        Raises:
            VadprobeError: if backbone, prompt, sampling or recipe differ; the message names what.
        """
        differences = [
            line for line in _meaning(spec).differences(_meaning(self.features)) if not line.startswith(_NAMES_ONLY)
        ]
        if differences:
            raise VadprobeError(
                f"the detector {self.preset!r} was fitted on other features than the store holds: "
                + "; ".join(differences)
                + ". Extract with the detector's backbone, prompt and sampling, or fit a detector on this store."
            )

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(
            path,
            {
                "preset": self.preset,
                "selection": self.selection.to_json(),
                "probe": self.probe.to_json(),
                "locator": self.locator.to_json(),
                "features": self.features.to_json(),
                "provenance": self.provenance,
            },
        )

    @classmethod
    def read(cls, path: Path) -> "Detector":
        """Read a file that `write` wrote.

        Raises:
            VadprobeError: if there is no such file, or it is not a detector.
        """
        try:
            value = read_json(path)
        except FileNotFoundError as error:
            raise VadprobeError(
                f"there is no detector {path}; 'vadprobe analyze' of a job with training videos writes detector.json."
            ) from error
        missing = {"preset", "selection", "probe", "locator", "features", "provenance"} - set(value)
        if missing:
            raise VadprobeError(f"{path} is not a detector: it lacks {', '.join(sorted(missing))}.")
        return cls(
            preset=value["preset"],
            selection=Selection.from_json(value["selection"]),
            probe=probe_from_json(value["probe"]),
            locator=Locator.from_json(value["locator"]),
            features=FeatureSpec.from_json(value["features"]),
            provenance=value["provenance"],
        )


def _meaning(spec: FeatureSpec) -> FeatureSpec:
    """Return the specification without what belongs to one dataset or one run."""
    recipe = {name: value for name, value in spec.recipe.items() if name not in _RUN_ONLY}
    return FeatureSpec("", "", 0, spec.sampling, spec.backbone, spec.prompt, recipe)
