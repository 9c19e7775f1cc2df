"""Packing of a finished analysis into one file below 1 MB: the detector, and everything a user must know about it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vadprobe.analyze.detector.detector import Detector
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import json_bytes
from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.text import size_text

MOST_PACKED_BYTES = 1_000_000
"""Largest size of a packed file in bytes."""

_MEASURED = ("preset", "dataset", "split", "auc", "ap_step", "f1", "n_videos", "n_frames", "n_positive")


def pack(
    detector: Detector,
    backbone: Mapping[str, Any],
    calibration: Mapping[str, Any] | None,
    result: Mapping[str, Any] | None,
) -> Detector:
    """Return a detector with everything that a user without its stores needs.

    Args:
        detector: as the analysis wrote it.
        backbone: settings that load its backbone: path, dtype, attention and the others of a job's `[backbone]`.
        calibration: content of calibration.json; None keeps the summary that the detector has.
        result: the analysis' entry in results.json; None if there is none.

    Raises:
        VadprobeError: if the file would be too large, or the detector is transductive.
    """
    detector.check_inductive()
    recipe, made_of = detector.features.recipe, detector.provenance
    card = recipe.get("backbone_card")
    digests = {
        "features": made_of.get("features"),
        "ground_truth": made_of.get("ground_truth"),
        "calibration": made_of.get("calibration"),
        "backbone": detector.features.backbone.revision,
        "weights": (card or {}).get("weights_sha256"),
        "card": None if card is None else digest_json(card),
    }
    packed: dict[str, Any] = {
        "backbone": reference_of(backbone),
        "digests": {name: value for name, value in digests.items() if value is not None},
        "notes": _notes(detector, result),
    }
    if calibration is not None:
        packed["calibration"] = summary_of(calibration)
    elif "calibration" in detector.packed:
        packed["calibration"] = detector.packed["calibration"]
    if result is not None:
        packed["measured"] = measured_of(result)
    whole = replace(detector, packed=packed)
    size = len(json_bytes(whole.to_json()))
    if size > MOST_PACKED_BYTES:
        raise VadprobeError(
            f"the detector {detector.preset!r} must take at most {size_text(MOST_PACKED_BYTES)} to be "
            f"packed, got {size_text(size)} (its probe alone "
            f"{size_text(len(json_bytes(whole.probe.to_json())))}). Choose fewer heads, or use the "
            "analysis' own detector.json."
        )
    return whole


def with_reference(detector: Detector, backbone: Mapping[str, Any]) -> Detector:
    """Return a detector that names the checkpoint of its backbone; nothing else is changed."""
    return replace(detector, packed={**detector.packed, "backbone": reference_of(backbone)})


def reference_of(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a backbone, its path as in the job, without the permission to run code."""
    return {name: value for name, value in backbone.items() if name != "trust_remote_code"}


def summary_of(calibration: Mapping[str, Any]) -> dict[str, Any]:
    """Return the summary of a calibration: its settings and counts, without its rows."""
    labels: Sequence[int] = calibration["labels"]
    counts = {
        "n_samples": len(labels),
        "n_anomalous": sum(label == 1 for label in labels),
        "n_videos": len(set(calibration["groups"])),
        "n_left_out": len(calibration.get("left_out", ())),
    }
    kept = ("unit", "segment_label", "fraction", "seed")
    return {**{name: calibration[name] for name in kept if name in calibration}, **counts}


def measured_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a result with their intervals and caveats."""
    numbers = {name: result.get(name) for name in _MEASURED}
    intervals = {name: ends for name, ends in result["intervals"].items() if name in _MEASURED}
    confidence = (result.get("bootstrap") or {}).get("confidence")
    return {**numbers, "intervals": intervals, "confidence": confidence, "caveats": list(result["caveats"])}


def _notes(detector: Detector, result: Mapping[str, Any] | None) -> list[str]:
    said = [*detector.notes, *(result["notes"] if result else ())]
    return list(dict.fromkeys(said))
