"""A dataset card: what a prepared dataset is, in Markdown, generated from its audit."""

from vadprobe.store.datasets.audit import Audit

_CONVENTIONS = {
    "zero-based-half-open": "`s e` in the annotation was read as `[s, e)`, counted from 0.",
    "zero-based-closed": "`s e` in the annotation was read as `[s, e]`, counted from 0.",
    "one-based-closed": "`s e` in the annotation was read as `[s, e]`, counted from 1.",
}
_NAMED = 20
_TEXT_FORMATS = ("ucf-crime", "xd-violence", "msad")


def dataset_card(audit: Audit) -> str:
    """The card as Markdown: counts, classes, digest, conventions, caveats, and the files it was made of."""
    dataset, config = audit.dataset, audit.config
    lines = [
        f"# Dataset card: {dataset.name}",
        "",
        f"Format `{config.format}`. Ground truth digest (SHA-256 of names, splits, labels and intervals):",
        "",
        f"`{dataset.truth_digest}`",
        "",
        "## Videos",
        "",
        "| split | videos | normal | anomalous | without label | intervals | frames | anomalous frames |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for split, counts in audit.counts.items():
        whole = counts["with_frame_count"] == counts["videos"]
        frames = str(counts["frames"]) if whole else f"unknown ({counts['with_frame_count']} videos known)"
        positive = str(counts["anomalous_frames"]) if whole or not counts["intervals"] else "unknown"
        lines.append(
            f"| {split} | {counts['videos']} | {counts['normal']} | {counts['anomalous']} | {counts['unlabelled']} | "
            f"{counts['intervals']} | {frames} | {positive} |"
        )
    splits = list(audit.counts)
    lines += ["", "## Classes", "", "| class | " + " | ".join(splits) + " |", "|---|" + "---:|" * len(splits)]
    for name, by_split in audit.classes.items():
        lines.append(f"| {_cell(name)} | " + " | ".join(str(by_split.get(split, 0)) for split in splits) + " |")
    lines += ["", "## Conventions", "", "- Frames are counted from 0 and intervals are half-open, `[start, stop)`."]
    if config.format in _TEXT_FORMATS:
        lines.append(f"- {_CONVENTIONS[config.intervals]}")
    lines += [
        "- A video's label is its annotation's, else that of its list, else that of its name; never that of a folder.",
        "- Intervals are cut at the end of the video where its length is known. Every frame counts, those of the last "
        "short clip too.",
    ]
    validation = dataset.of_split("validation")
    if validation:
        held_out = ", ".join(f"`{video.video_id}`" for video in validation)
        lines.append(f"- Held out for validation and in no reported number: {held_out}.")
    lines += ["", "## Caveats", ""]
    if not audit.findings:
        lines.append("None was found.")
    for finding in audit.findings:
        mark = " **Changes scores.**" if finding.changes_score else ""
        names = ", ".join(f"`{name}`" for name in finding.videos[:_NAMED])
        counted = f" {len(finding.videos)} videos: {names}" if names else ""
        more = f" and {len(finding.videos) - _NAMED} more" if len(finding.videos) > _NAMED else ""
        lines.append(f"- {finding.kind}: {finding.message}.{mark}{counted}{more}")
    lines += ["", "## Made of", "", "| file | rows | read | rejected |", "|---|---:|---:|---:|"]
    for file in audit.files:
        lines.append(f"| `{file.path.name}` | {file.n_rows} | {file.n_read} | {file.n_rejected} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
