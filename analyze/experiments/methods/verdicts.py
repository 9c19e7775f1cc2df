"""A comparison in words: where a method adds something on these videos, and where it adds nothing."""

import math
from collections.abc import Iterator, Sequence

from vadprobe.analyze.experiments.methods.entries import Entry

NEAR = 0.01
"""Distance of the AUC within which a layer counts as good as the best."""


def verdicts(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return sentences about the rows that were measured; a method that adds nothing is said to."""
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
    better = sum(auc >= chosen.auc for auc in random.aucs)
    if chosen.auc > random.auc:
        verdict = f"is above the median of {len(random.aucs)} random draws ({random.auc:.4f})"
    else:
        verdict = f"is not above the median of {len(random.aucs)} random draws ({random.auc:.4f}): it adds nothing here"
    yield f"RHI's AUC ({chosen.auc:.4f}) {verdict}; {better} of them are as good or better."
    if "all-heads" in found:
        yield _gain("RHI", chosen, "taking all heads", found["all-heads"])


def _text(found: dict[str, Entry]) -> Iterator[str]:
    said = [found[key] for key in ("text-raw", "text", "text-said") if key in found]
    if not said:
        return
    best = max(said, key=lambda entry: entry.auc)
    for key, name in (("dlsp", "HiProbe-VAD"), ("rhi", "HeadHunt-VAD")):
        if key in found:
            yield _gain(name, found[key], "the best of the model's own text", best)


def _labels(found: dict[str, Entry]) -> Iterator[str]:
    oracle = found.get("video_flat")
    if oracle is None:
        return
    flat = oracle.row({"auc": ("", "auc")}).numbers["auc"].value
    for key, name in (("dlsp", "HiProbe-VAD"), ("rhi", "HeadHunt-VAD")):
        if key in found and found[key].auc <= flat:
            yield f"{name} ({found[key].auc:.4f}) does not beat the true video label held flat ({flat:.4f})."


def _gain(name: str, mine: Entry, other: str, theirs: Entry) -> str:
    """Say what a method adds over something simpler, and whether its interval tells that from nothing."""
    if mine.choice and mine.choice == theirs.choice:
        return f"{name} chose the same as {other}: {mine.choice}."
    if mine.auc <= theirs.auc:
        return f"{name} adds nothing over {other}: AUC {mine.auc:.4f} against {theirs.auc:.4f}."
    gain = f"{name} adds {mine.auc - theirs.auc:.4f} of AUC over {other} ({theirs.auc:.4f})"
    if theirs.auc >= mine.auc_low:
        return f"{gain}, which is within its interval: these videos are too few to tell it from nothing."
    return f"{gain}, more than its interval."
