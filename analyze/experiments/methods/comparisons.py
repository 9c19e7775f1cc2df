"""Tables of the comparison: on all test videos, by kinds named in the backbone's pre-training, and on a second set."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
from vadprobe.analyze.experiments.measuring import table_of
from vadprobe.analyze.experiments.methods.answer_rows import answer_entries
from vadprobe.analyze.experiments.methods.entries import (
    DRAWS,
    Target,
    baseline_entries,
    head_entries,
    layer_entries,
)
from vadprobe.analyze.experiments.methods.entry import Entry
from vadprobe.analyze.experiments.methods.measured import ALL, NAMED, UNNAMED, Groups, groups_of
from vadprobe.analyze.experiments.methods.text_rows import text_entries
from vadprobe.analyze.experiments.methods.verdicts import verdicts
from vadprobe.analyze.experiments.rows import Number, Row, Table
from vadprobe.store.errors import VadprobeError

_FITTED = (
    "Layers and heads are chosen and probes fitted on one draw of training videos, the job's own. Where a "
    "smoothing is chosen, as in HeadHunt-VAD's preset, it is chosen by a grid on validation videos. "
    f"Random heads are {DRAWS} draws. Texts and baselines are not fitted."
)
_GROUP_NAMES = {ALL: "all", NAMED: "with kinds that were named", UNNAMED: "with kinds that were not"}
_COLUMNS = {"auc": (ALL, "auc"), "ap_step": (ALL, "ap_step")}
_KIND_COLUMNS = {
    "auc_named": (NAMED, "auc"),
    "ap_named": (NAMED, "ap_step"),
    "auc_unnamed": (UNNAMED, "auc"),
    "ap_unnamed": (UNNAMED, "ap_step"),
}


def methods_compared(lab: ExperimentContext) -> Table:
    """Compare both methods with single layers, random heads, the backbone's text and baselines, with verdicts."""
    entries = _entries(lab, {ALL: lambda video: True})
    return _table(lab, "comparison", "what the methods add", entries, _COLUMNS, verdicts(entries))


def methods_by_kind(lab: ExperimentContext) -> Table:
    """Compare on kinds of anomalies that the backbone's pre-training named, and on those it did not."""
    title = "kinds that the backbone was told of, and others"
    case = lab.case_of("hiprobe")
    try:
        named = _named_kinds(case)
    except VadprobeError as error:
        rows = [Row("every method", dict.fromkeys(_KIND_COLUMNS, Number()), reason=str(error))]
        return table_of(case, "comparison-kinds", title, rows, tuple(_KIND_COLUMNS))
    entries = _entries(lab, groups_of(named))
    kinds = {video.category for video in case.truth.of_split("test") if video.label}
    notes = (
        f"Named: {_listed(kinds & set(named))}. Not named: {_listed(kinds - set(named))}. Each with all normal videos; "
        "every method was fitted on training videos of all kinds.",
    )
    return _table(lab, "comparison-kinds", title, entries, _KIND_COLUMNS, notes)


def methods_on_another_set(lab: ExperimentContext) -> Table:
    """Compare on a second dataset, on which nothing was fitted: that of the first other job with the same backbone."""
    case = lab.case_of("hiprobe")
    other = next((job for job in lab.cases if _is_target(case, job)), None)
    title = "fitted on one set, measured on another"
    if other is None:
        reason = "no other job with this backbone is of another dataset; name one more"
        rows = [Row("every method", dict.fromkeys(_COLUMNS, Number()), reason=reason)]
        return table_of(case, "comparison-transfer", title, rows, tuple(_COLUMNS))
    entries = _entries(lab, {ALL: lambda video: True}, lambda job: other)
    notes = (f"Fitted on {case.truth.name}, measured on {other.truth.name}.", *verdicts(entries))
    table = _table(lab, "comparison-transfer", title, entries, _COLUMNS, notes)
    return replace(table, dataset=other.truth.name)


def _entries(lab: ExperimentContext, groups: Groups, target: Target = lambda job: None) -> list[Entry]:
    methods = [*layer_entries(lab, groups, target), *head_entries(lab, groups, target)]
    texts = text_entries(lab, groups, methods) if target(lab.cases[0]) is None else []
    answers = answer_entries(lab, groups, methods, target)
    return [*methods, *texts, *answers, *baseline_entries(methods)]


def _table(
    lab: ExperimentContext,
    name: str,
    title: str,
    entries: list[Entry],
    columns: Mapping[str, tuple[str, str]],
    notes: tuple[str, ...],
) -> Table:
    rows = [entry.row(columns) for entry in entries]
    others = dict.fromkeys(note for entry in entries for note in entry.notes)
    every = (*notes, _videos(entries), *others, _FITTED)
    return table_of(lab.case_of("hiprobe"), name, title, rows, tuple(columns), every)


def _videos(entries: Sequence[Entry]) -> str:
    """Return a note with the number of measured test videos in each group; "" if there are none."""
    found = next((entry.draws[0].by_group for entry in entries if entry.draws), {})
    counts = [
        f"{_GROUP_NAMES[group]} {one.n_videos} ({one.n_videos_positive} with an anomaly)"
        for group, one in found.items()
        if one is not None
    ]
    return f"Test videos measured: {'; '.join(counts)}." if counts else ""


def _named_kinds(case: ExperimentJob) -> tuple[str, ...]:
    """Return the kinds that the backbone's card says were named in its pre-training.

    Raises:
        VadprobeError: if it has no such card, or the features are missing.
    """
    card = case.inputs(case.config).store.spec.recipe.get("backbone_card") or {}
    if "named" not in card:
        raise VadprobeError("the backbone has no card that says which kinds its pre-training named")
    return tuple(card["named"])


def _is_target(case: ExperimentJob, other: ExperimentJob) -> bool:
    return other.backbone == case.backbone and other.truth.name != case.truth.name


def _listed(kinds: set[str | None]) -> str:
    return ", ".join(sorted(kind or "without a kind" for kind in kinds)) or "none"
