"""A comparison in sentences: what a method adds on these videos, and where it adds nothing."""

import math
from collections.abc import Iterator, Sequence

from vadprobe.analyze.experiments.methods.answer_rows import ANSWER
from vadprobe.analyze.experiments.methods.entry import Difference, Entry
from vadprobe.analyze.experiments.methods.text_rows import TEXT
from vadprobe.store.files.text import percent

NEAR = 0.01
"""Largest difference of AUC at which a layer counts as good as the best one."""

ALLOWED = 0.05
"""Largest fraction of random draws as good as a selection that counts as better than chance: one of twenty."""


def verdicts(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return sentences about the measured rows; they also say where a method adds nothing."""
    found = {entry.key: entry for entry in entries if not math.isnan(entry.auc)}
    return (*_layers(found), *_heads(found), *_text(found), *_labels(found))


def _layers(found: dict[str, Entry]) -> Iterator[str]:
    if not {"dlsp", "best-layer"} <= found.keys():
        return
    chosen, best = found["dlsp"], found["best-layer"]
    gap = best.auc - chosen.auc
    near = "within" if gap <= NEAR else "not within"
    curve = ", ".join(f"{layer}: {auc:.4f}" for layer, auc in best.others.items())
    yield (
        f"DLSP's {chosen.choice} is {near} {NEAR} of the best fixed layer ({best.choice}, AUC {best.auc:.4f}, chosen "
        f"on test): {gap:.4f} below it. AUC of every layer: {curve}."
    )
    for key in ("last-layer", "middle-layer"):
        if key in found:
            yield _gain("DLSP", chosen, f"taking the {key.replace('-', ' ')}", found[key])


def _heads(found: dict[str, Entry]) -> Iterator[str]:
    if not {"rhi", "random-heads"} <= found.keys():
        return
    chosen, random = found["rhi"], found["random-heads"]
    draws = len(random.aucs)
    better = sum(auc >= chosen.auc for auc in random.aucs)
    above = "is above" if chosen.auc > random.auc else "is not above"
    verdict = f"RHI's AUC ({chosen.auc:.4f}) {above} the median of {draws} random draws ({random.auc:.4f})"
    count = f"{better} of them {'is' if better == 1 else 'are'} as good or better"
    if better > ALLOWED * draws:
        yield f"{verdict}, and {count}: here RHI is not better than chance among random draws."
    else:
        yield f"{verdict}; {count}."
    if "all-heads" in found:
        yield _gain("RHI", chosen, "taking all heads", found["all-heads"])


def _text(found: dict[str, Entry]) -> Iterator[str]:
    for beginning, words in ((TEXT, "the model's own text"), (ANSWER, "the model's own p(yes)")):
        said = [entry for key, entry in found.items() if key.startswith(f"{beginning}-")]
        if not said:
            continue
        best = max(said, key=lambda entry: entry.auc)
        name = f"the best of {len(said)} rows of {words} (chosen on test)" if len(said) > 1 else words
        for key, method in (("dlsp", "HiProbe-VAD"), ("rhi", "HeadHunt-VAD")):
            if key in found:
                yield _gain(method, found[key], name, best)


def _labels(found: dict[str, Entry]) -> Iterator[str]:
    oracle = found.get("video_flat")
    if oracle is None:
        return
    flat = oracle.row({"auc": ("", "auc")}).numbers["auc"].value
    for key, name in (("dlsp", "HiProbe-VAD"), ("rhi", "HeadHunt-VAD")):
        if key in found and found[key].auc <= flat:
            yield f"{name} ({found[key].auc:.4f}) does not beat the true video label held flat ({flat:.4f})."


def _gain(name: str, mine: Entry, other: str, theirs: Entry) -> str:
    """Return what a method adds over something simpler, and whether its interval over paired resamples excludes 0."""
    if mine.choice and mine.choice == theirs.choice:
        return f"{name} chose the same as {other}: {mine.choice}."
    gain = mine.difference(theirs)
    if gain.value <= 0:
        difference = f", a difference of {gain.value:.4f}{_ends(gain)}" if gain.has_interval else ""
        return f"{name} adds nothing over {other}: AUC {mine.auc:.4f} against {theirs.auc:.4f}{difference}."
    doubt = ", which these videos cannot tell from zero" if gain.may_be_nothing else ""
    return f"{name} adds {gain.value:.4f} of AUC{_ends(gain)} over {other} ({theirs.auc:.4f}){doubt}."


def _ends(gain: Difference) -> str:
    if not gain.has_interval:
        return ""
    return f" [{gain.low:.4f}, {gain.high:.4f}] ({percent(gain.confidence)} of paired resamples of the videos)"
