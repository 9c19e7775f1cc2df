"""A detector in words, as `vadprobe detector show` prints it."""

from collections.abc import Iterator
from typing import Any

from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.saliency.selection import layer_name
from vadprobe.store.files.text import short, visible


def described(detector: Detector) -> Iterator[str]:
    """Yield lines that describe a detector; texts of its file are shown without control characters."""
    spec, packed = detector.features, detector.packed
    backbone = spec.backbone
    loaded = packed.get("backbone", {})
    yield f"Detector {plain(detector.preset)}, fitted on {plain(detector.provenance.get('dataset', 'unknown'))}"
    yield f"  backbone     {plain(backbone.source)} ({plain(backbone.family)}), {backbone.dtype}"
    yield f"  revision     {plain(backbone.revision)}"
    yield f"  loaded from  {plain(loaded['path']) if 'path' in loaded else 'not said; name it with --backbone'}"
    yield f"  prompt       {plain(spec.prompt.key)}: {plain(spec.prompt.describe())}"
    yield f"  sampling     {plain(spec.sampling.key)}: {_sampling(detector)}"
    size = spec.recipe.get("frame_size")
    yield f"  frame size   {plain(size) if size is not None else 'of the checkpoint'}"
    chat, template = spec.recipe.get("chat", "native"), spec.recipe.get("chat_template")
    yield f"  chat         {plain(chat)}, template {plain(template)}"
    yield f"  probe        {detector.probe.kind} on {_chosen(detector)}, {len(detector.probe.mean)} features"
    locator = detector.locator
    yield (
        f"  locator      sigma {locator.sigma:g} segments (edge {locator.edge}, {locator.truncate:g} sigmas), "
        f"anomalous above {locator.threshold:g}"
    )
    yield from _about(packed)
    yield from (f"  Note: {plain(note)}" for note in detector.notes)


def _sampling(detector: Detector) -> str:
    sampling = detector.features.sampling
    cut = f"segments of {sampling.clip_length} frames" if sampling.clip_length else "whole videos"
    rates = detector.fps
    fitted = "" if rates is None else f"; fitted on {rates[0]:g} to {rates[1]:g} frames per second"
    return f"{cut}, {sampling.frames_per_clip} of them seen{fitted}"


def _chosen(detector: Detector) -> str:
    indices = detector.selection.indices
    if detector.selection.unit == "layer":
        return ", ".join(f"layer {layer_name(index[0])}" for index in indices)
    return "heads " + ", ".join(f"{block}:{head}" for block, head in indices[:8]) + (" ..." if len(indices) > 8 else "")


def _about(packed: dict[str, Any]) -> Iterator[str]:
    calibration, measured = packed.get("calibration"), packed.get("measured")
    if calibration:
        yield (
            f"  calibration  {plain(calibration.get('n_samples'))} samples of {plain(calibration.get('n_videos'))} "
            f"videos, {plain(calibration.get('n_anomalous'))} anomalous (unit {plain(calibration.get('unit'))})"
        )
    if measured:
        intervals = measured.get("intervals")
        intervals = intervals if isinstance(intervals, dict) else {}
        shown = ", ".join(
            f"{label} {_number(measured.get(name))}{_interval(intervals.get(name))}"
            for name, label in (("auc", "AUC"), ("ap_step", "AP"))
        )
        yield (
            f"  measured     {shown} on {plain(measured.get('dataset'))} ({plain(measured.get('split'))}, "
            f"{plain(measured.get('n_videos'))} videos)"
        )
    for name, digest in sorted(packed.get("digests", {}).items()):
        yield f"  digest       {plain(name)} {plain(digest)}"


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "unknown"


def _interval(ends: Any) -> str:
    if isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, float) for end in ends):
        return f" [{ends[0]:.4f}, {ends[1]:.4f}]"
    return ""


def plain(value: Any) -> str:
    """Return a value from an untrusted file as one short line without control characters."""
    return "".join(sign if sign.isprintable() else "?" for sign in short(visible(str(value)), 160))
