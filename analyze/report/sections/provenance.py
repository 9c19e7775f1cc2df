"""Provenance of each analysis: its settings and digests, and the commands that produce the page again."""

import shlex
from collections.abc import Sequence

from vadprobe.analyze.report.part import ReportPart
from vadprobe.analyze.saliency.selection import layer_name

_RULE_NAMES = {"dlsp": "DLSP", "rhi": "RHI", "fisher": "Fisher's ratio", "fisher-layer": "Fisher's ratio"}
_SHOWN_HEADS = 12


def selection(part: ReportPart) -> str:
    """Return the selected layer or heads in words."""
    chosen = part.detector.selection
    rule = _RULE_NAMES.get(chosen.method, chosen.method)
    if chosen.unit == "layer":
        return "layer " + ", ".join(layer_name(index[0]) for index in chosen.indices) + f" by {rule}"
    heads = [f"({block}, {head})" for block, head in chosen.indices]
    more = f" and {len(heads) - _SHOWN_HEADS} more" if len(heads) > _SHOWN_HEADS else ""
    return "heads " + ", ".join(heads[:_SHOWN_HEADS]) + f"{more} as (block, head) ({rule})"


def facts(part: ReportPart) -> list[tuple[str, str]]:
    """Return facts about the measurement, the detector and the features, as (name, text)."""
    result, features = part.result, part.detector.features
    backbone, sampling = features.backbone, features.sampling
    unknown = result["n_frames_unknown"]
    more = f"; {unknown} frames could not be read and are in no number" if unknown else ""
    unlabelled = result["n_videos_unlabelled"]
    more += f"; {unlabelled} videos have no label" if unlabelled else ""
    readings = part.detector.provenance.get("readings", {})
    found = [
        ("job", part.job),
        ("dataset", f"{result['dataset']}, split {result['split']}"),
        ("selection", selection(part)),
        ("probe", part.detector.probe.kind),
        ("locator", f"sigma {result['sigma']} clips, threshold {result['threshold']:.4f}"),
        ("readings other than the default", ", ".join(f"{key} = {value}" for key, value in readings.items())),
        ("backbone", f"{backbone.key} ({backbone.family}, {backbone.describe_heads()}, "
                     f"{backbone.dtype}, {backbone.source})"),
        ("prompt of the probe", f"{features.prompt.key}: {features.prompt.describe()}"),
        ("sampling", f"{sampling.clip_length} frames a clip, {sampling.frames_per_clip} of them seen"),
        ("positive frames", f"{result['n_positive']} of {result['n_frames']}{more}"),
        ("features", result["feature_digest"]),
        ("ground truth", result["ground_truth_digest"] or "none"),
        ("calibration", str(part.detector.provenance.get("calibration", "unknown"))),
    ]  # fmt: skip
    return [(name, words) for name, words in found if words]


def commands(parts: Sequence[ReportPart]) -> list[str]:
    """Return the commands that produce the page again, in the order in which they must be run."""
    jobs = list(dict.fromkeys(part.job for part in parts))
    quoted = [shlex.quote(job) for job in jobs]
    lines = []
    for part, job in zip(parts, quoted, strict=False):
        lines += [f"vadprobe extract {job}", f"vadprobe analyze {job}"]
        lines += [f"vadprobe {command} {job}" for command in (part.texts.commands if part.texts else ())]
        figures = " ".join(sorted(one.name for one in part.figures))
        if figures:
            lines.append(f"vadprobe figure {figures} --jobs {job}")
        made = [content for content in part.tables if content.get("made_by")]
        lines += list(dict.fromkeys(str(content["made_by"]) for content in made))
    strips = " --thumbnails" if any(part.strips for part in parts) else ""
    return [*dict.fromkeys(lines), f"vadprobe report {' '.join(quoted)}{strips}"]
