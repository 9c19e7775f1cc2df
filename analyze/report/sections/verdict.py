"""The verdict in sentences, which claim no more than the interval over videos allows."""

from collections.abc import Iterator, Mapping
from typing import Any

from vadprobe.analyze.configuration import METHODS
from vadprobe.analyze.report.evaluation_text import BASELINE_NAMES
from vadprobe.analyze.report.part import ReportPart
from vadprobe.store.files.text import percent

_GUESSING = 0.5
_METHODS = {"layer": ("DLSP", "HiProbe-VAD"), "head": ("RHI", "HeadHunt-VAD")}
"""By selected unit, the first words of the comparison's sentences about its method."""

_OTHER_PROBES = frozenset(method["probe"]["kind"] for method in METHODS.values() if method["probe"])
"""Kinds of probes of methods that have no row in the comparison."""


def verdict(part: ReportPart) -> list[str]:
    """Return sentences that compare a result with guessing, with baselines, and with the backbone's own answer."""
    result = part.result
    if result["auc"] is None:
        return ["The numbers are unknown: no scored test video has a label, or their frames are of one class only."]
    return [*_value(result), *_baselines(result), *_answers(result), *_compared(part)]


def _value(result: Mapping[str, Any]) -> Iterator[str]:
    ends = result["intervals"].get("auc")
    chance = (
        f"An anomalous frame gets a higher score than a normal one with a chance of {100 * result['auc']:.1f} % "
        f"(AUC {result['auc']:.4f}; guessing gives 50 %), on {result['n_frames']:,} frames of {result['n_videos']} "
        f"test videos of {result['dataset']}."
    )
    if not ends or ends[0] is None:
        yield f"{chance} No interval is known, so nothing is said about other videos."
        return
    share = f"{percent(result['bootstrap']['confidence'])} of resamples of these videos"
    yield f"{chance} {share} give an AUC of {ends[0]:.4f} to {ends[1]:.4f}: the interval."
    if ends[0] > _GUESSING:
        yield "The whole interval lies above 0.5, the AUC of guessing."
    elif ends[1] < _GUESSING:
        yield "The whole interval lies below 0.5, the AUC of guessing: the scores are misleading here."
    else:
        yield "The interval contains 0.5, the AUC of guessing: these videos cannot tell the scores from guessing."


def _baselines(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield sentences on the baselines below, in, and above the interval; a baseline counts as one number."""
    ends = result["intervals"].get("auc")
    if not ends or ends[0] is None:
        return
    found: dict[str, list[str]] = {"above": [], "holds": [], "below": []}
    for name, numbers in result["baselines"].items():
        value = numbers["auc"]
        if value is not None:
            place = "above" if ends[0] > value else "below" if ends[1] < value else "holds"
            found[place].append(f"{BASELINE_NAMES.get(name, name)} ({value:.4f})")
    words = {
        "above": "The interval lies above these baselines, which look at no picture",
        "holds": "The interval contains these baselines, so no gain over them is shown",
        "below": "The interval lies below these baselines",
    }
    for place, names in found.items():
        if names:
            yield f"{words[place]}: {', '.join(names)}."
    if "video_flat" in result["baselines"]:
        yield (
            "No detector knows the true video label; this baseline shows how far knowing the anomalous "
            "videos alone goes."
        )


def _answers(result: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (name, found)
        for text in result["text_output"]
        for name, found in text["rows"].items()
        if found and found["auc"] is not None
    ]
    if not rows:
        yield "The model's own answer was not measured beside it."
        return
    name, best = max(rows, key=lambda row: float(row[1]["auc"]))
    which = f"the best of {len(rows)} rows of the model's own answer ({name}, chosen on test)"
    mine, theirs = result["intervals"].get("auc"), best.get("intervals", {}).get("auc")
    if not mine or not theirs or mine[0] is None or theirs[0] is None:
        yield f"{which[0].upper()}{which[1:]} has an AUC of {best['auc']:.4f}; without intervals nothing is concluded."
        return
    other = f"{which} (AUC {best['auc']:.4f}, {theirs[0]:.4f} to {theirs[1]:.4f})"
    if mine[0] > theirs[1]:
        yield f"The interval lies above that of {other}."
    elif mine[1] < theirs[0]:
        yield f"The interval lies below that of {other}: reading the hidden states adds nothing here."
    else:
        yield f"The interval overlaps with that of {other}: the two do not show that the method adds anything."


def _compared(part: ReportPart) -> Iterator[str]:
    """Yield the sentences of the comparison, whose differences are paired over the same videos."""
    for table in part.tables:
        if table.get("name") == "comparison" and part.detector.probe.kind not in _OTHER_PROBES:
            mine = _METHODS[part.detector.selection.unit]
            yield from (f"{note} (comparison)" for note in table["notes"] if note.startswith(mine))


def warnings(parts: list[ReportPart], labels: list[str]) -> list[str]:
    """Return everything that a reader must know before relying on a number."""
    found: list[str] = []
    for part in parts:
        notes = (*part.result.get("notes", ()), *part.detector.features.notes)
        found += [note for note in dict.fromkeys(notes) if note not in found]
    for part, label in zip(parts, labels, strict=True):
        fitted_on = part.detector.provenance["dataset"]
        if part.result["dataset"] != fitted_on:
            found.append(
                f"{label}: the detector was fitted on the dataset {fitted_on!r} and only applied to "
                f"{part.result['dataset']!r}; nothing was fitted here."
            )
        if part.result["overlap"]:
            found.append(
                f"{label}: fitted or tuned on {len(part.result['overlap'])} of the reported videos, as the job allows; "
                "these numbers say nothing about new videos."
            )
        if part.result.get("transductive"):
            found.append(
                f"{label}: transductive: the fit saw the features of {len(part.result['transductive'])} of "
                "the reported videos, without their labels, as the job allows; these numbers hold for "
                "these videos together, not for new ones."
            )
        if part.result["auc"] is None:
            found.append(
                f"{label}: the numbers are unknown, because the scored videos have no labels or their frames are of "
                "one class only."
            )
    return found
