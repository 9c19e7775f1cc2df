"""Known facts of published ground truths: digests of their lines, works that altered them, and sums of frames.

`published_truth.json` holds, per set, a short digest of every line's content (name, label, intervals). So a changed
line is noticed without a copy of the annotation.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from vadprobe.store.datasets.annotations.rows.rows import Annotation

ALTERED_UCF_CRIME = frozenset(
    {
        *("Arson010", "Arson016", "Assault011", "Burglary017", "Burglary018", "Burglary035", "Burglary076"),
        *("Burglary092", "Explosion020", "Explosion021", "Explosion039", "RoadAccidents022", "Shooting024"),
        "Shooting043",
    }
)
"""UCF-Crime test videos whose labels differ in UMIL, VAD-LLaMA and VERA."""

LENGTH_TOTALS: Mapping[str, Mapping[int, str]] = {
    "ucf-crime": {
        1_111_808: "the videos' own lengths",
        1_109_824: "each length rounded down to 16",
        1_114_144: "RTFM's concatenated ground truth (each length rounded up to 16)",
        1_109_680: "PEL4VAD's files",
    },
    "xd-violence": {
        2_335_801: "the videos' own lengths",
        2_330_384: "the rule ((n - 1) // 16) * 16",
        2_331_248: "each length rounded down to 16",
        2_343_184: "each length rounded up to 16",
        2_331_296: "VadCLIP's ground truth",
    },
    "msad": {146_408: "the videos' own lengths"},
}
"""By set, the convention of frame counts that each sum of all test frames reveals."""


def line_digest(annotation: Annotation) -> str:
    """Digest name, label and frames, as read by the default convention; ten hexadecimal digits."""
    frames = ",".join(f"{i.start_frame}-{i.stop_frame}" for i in annotation.intervals)
    return hashlib.sha256(f"{annotation.video_id}|{annotation.label}|{frames}".encode()).hexdigest()[:10]


@cache
def _published() -> dict[str, frozenset[str]]:
    text = files("vadprobe.store.datasets.annotations").joinpath("published_truth.json").read_text(encoding="utf-8")
    return {name: frozenset(digests) for name, digests in json.loads(text).items()}


def changed_lines(format_name: str, annotations: Sequence[Annotation]) -> tuple[tuple[str, ...], int] | None:
    """Find the videos whose lines differ from the published ones, and count the published lines that are missing.

    The annotations must be read with the default convention.

    Returns:
        Names and count; None for a set whose published lines are not known.
    """
    published = _published().get(format_name)
    if published is None:
        return None
    digests = {annotation.video_id: line_digest(annotation) for annotation in annotations}
    changed = tuple(name for name, digest in digests.items() if digest not in published)
    return changed, len(published - set(digests.values()))
