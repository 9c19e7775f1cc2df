"""The card of a prepared dataset, in Markdown, from its audit."""

from vadprobe.store.datasets.annotations.conventions import TEXT_FORMATS
from vadprobe.store.datasets.audit import SPLIT_HEAD, Audit
from vadprobe.store.files.text import counted, first_few, markdown_table

_CONVENTIONS = {
    "zero-based-half-open": "`s e` in the annotation was read as `[s, e)`, counted from 0.",
    "zero-based-closed": "`s e` in the annotation was read as `[s, e]`, counted from 0.",
    "one-based-closed": "`s e` in the annotation was read as `[s, e]`, counted from 1.",
}
_NAMED = 20


def dataset_card(audit: Audit) -> str:
    """Return the card as Markdown: counts, classes, digest, conventions, caveats, and the files that were read."""
    dataset, config = audit.dataset, audit.config
    splits = list(audit.counts)
    classes = [(name, *(by_split.get(split, 0) for split in splits)) for name, by_split in audit.classes.items()]
    files = [(f"`{file.path.name}`", file.n_rows, file.n_read, file.n_rejected) for file in audit.files]
    lines = [
        f"# Dataset card: {dataset.name}",
        "",
        f"Format `{config.format}`. Ground truth digest (SHA-256 of names, splits, labels and intervals):",
        "",
        f"`{dataset.truth_digest}`",
        "",
        "## Videos",
        "",
        *markdown_table(SPLIT_HEAD, audit.split_rows, right=SPLIT_HEAD[1:]),
        "",
        "## Classes",
        "",
        *markdown_table(("class", *splits), classes, right=splits),
        "",
        "## Conventions",
        "",
        *_conventions(audit),
        "",
        "## Caveats",
        "",
        *_caveats(audit),
        "",
        "## Made of",
        "",
        *markdown_table(("file", "rows", "read", "rejected"), files, right=("rows", "read", "rejected")),
    ]
    return "\n".join(lines) + "\n"


def _conventions(audit: Audit) -> list[str]:
    lines = ["- Frames are counted from 0 and intervals are half-open, `[start, stop)`."]
    if audit.config.format in TEXT_FORMATS:
        lines.append(f"- {_CONVENTIONS[audit.config.intervals]}")
    lines += [
        "- A video's label is its annotation's, else that of its list, else that of its name; never that of a folder.",
        "- Intervals are cut at the end of the video where its length is known. Every frame counts, those of the last "
        "short clip too.",
    ]
    validation = audit.dataset.of_split("validation")
    if validation:
        held_out = ", ".join(f"`{video.video_id}`" for video in validation)
        lines.append(f"- Held out for validation and in no reported number: {held_out}.")
    return lines


def _caveats(audit: Audit) -> list[str]:
    lines = []
    for finding in audit.findings:
        mark = " **Changes scores.**" if finding.changes_score else ""
        names = first_few([f"`{name}`" for name in finding.videos], _NAMED)
        videos = f" {counted(len(finding.videos), 'video')}: {names}" if names else ""
        lines.append(f"- {finding.kind}: {finding.message}.{mark}{videos}")
    return lines or ["None was found."]
