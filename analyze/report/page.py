"""The report: one HTML page with its pictures inside, drawn from the files an analysis has written."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.compute as pc

from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.evaluation.evaluation import INTERVAL_METRICS
from vadprobe.analyze.figures import style
from vadprobe.analyze.figures.curves import anomaly_curve, videos_to_draw
from vadprobe.analyze.figures.drawn import StoredFigure
from vadprobe.analyze.figures.head_maps import draw_head_maps, head_maps
from vadprobe.analyze.figures.layers import draw_layer_metrics, layer_curves
from vadprobe.analyze.figures.reliability import draw_reliability
from vadprobe.analyze.report.evaluation_text import BASELINE_NAMES, number
from vadprobe.analyze.saliency.selection import layer_name
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Video
from vadprobe.store.files.atomic_files import write_bytes
from vadprobe.store.format.sampling import to_frames


@dataclass(frozen=True, eq=False)
class ReportPart:
    """One analysis, as read from its files.

    `result` is the entry of results.json, `saliency` the content of saliency.json (None when the detector came from
    elsewhere), `scores` the rows of scores.parquet, `events` those of events.parquet, `curves` how many videos to
    draw, `failures` reasons by name, `figures` those that 'vadprobe figure' has drawn from this analysis.
    """

    result: dict[str, Any]
    detector: Detector
    saliency: dict[str, Any] | None
    scores: pa.Table
    events: pa.Table
    truth: Dataset
    curves: int
    failures: dict[str, str]
    figures: tuple[StoredFigure, ...] = ()


_RULE_NAMES = {"dlsp": "DLSP", "rhi": "RHI"}
_SHOWN_HEADS = 12
_SHOWN_EVENTS = 8


@dataclass(frozen=True)
class _Picture:
    title: str
    caption: str
    data: str


def write_report(parts: Sequence[ReportPart], path: Path) -> Path:
    """Draw the page and write it, whole or not at all."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["number"] = number
    source = files("vadprobe.analyze.report").joinpath("report.html.jinja").read_text(encoding="utf-8")
    template = environment.from_string(source)
    failures: dict[str, str] = {}
    for part in parts:
        failures.update(part.failures)
    page = template.render(
        title=f"Anomalies in {', '.join(sorted({part.result['dataset'] for part in parts}))}",
        warnings=_warnings(parts),
        parts=[_view(part) for part in parts],
        baseline_names=BASELINE_NAMES,
        columns=INTERVAL_METRICS,
        text_notes=dict.fromkeys(
            note for part in parts for text in part.result["text_output"] for note in text["notes"]
        ),
        failures=failures,
    )
    write_bytes(path, page.encode())
    return path


def _warnings(parts: Sequence[ReportPart]) -> list[str]:
    """Collect what a reader must know before believing a number."""
    found: list[str] = []
    for part in parts:
        notes = (*part.result.get("notes", ()), *part.detector.features.notes)
        found += [note for note in dict.fromkeys(notes) if note not in found]
    for part in parts:
        if part.result["dataset"] != part.detector.provenance["dataset"]:
            found.append(
                f"{part.result['preset']}: the detector was fitted on the dataset "
                f"{part.detector.provenance['dataset']!r} and only applied to {part.result['dataset']!r}; nothing was "
                "fitted here."
            )
        if part.result["overlap"]:
            found.append(
                f"{part.result['preset']}: fitted or tuned on {len(part.result['overlap'])} of the reported videos, as "
                "the job allows; these numbers say nothing about new videos."
            )
        if part.result.get("transductive"):
            found.append(
                f"{part.result['preset']}: transductive: the fit saw the features of "
                f"{len(part.result['transductive'])} of the reported videos, without their labels, as the job allows."
            )
        if part.result["auc"] is None:
            found.append(
                f"{part.result['preset']}: the numbers are unknown, because the scored videos have no labels or their "
                "frames are of one class only."
            )
    return found


def _view(part: ReportPart) -> dict[str, Any]:
    features = part.detector.features
    backbone = features.backbone
    return {
        "result": part.result,
        "selection": _selection(part),
        "unit": part.detector.selection.unit,
        "chance": _chance(part),
        "permutations": (part.saliency or {}).get("chance", {}).get("permutations", 0),
        "backbone": f"{backbone.key} ({backbone.family}, {backbone.n_layers} layers of {backbone.n_heads} heads, "
        f"{backbone.dtype}, {backbone.source})",
        "prompt": features.prompt,
        "readings": part.detector.provenance.get("readings", {}),
        "sampling": f"{features.sampling.clip_length} frames a clip, {features.sampling.frames_per_clip} of them seen",
        "pictures": [
            *_saliency_pictures(part),
            *_stored_pictures(part),
            *_reliability(part),
            *(_curve(part, video) for video in _drawn(part)),
        ],
    }


def _selection(part: ReportPart) -> str:
    selection = part.detector.selection
    rule = _RULE_NAMES.get(selection.method, selection.method)
    if selection.unit == "layer":
        return "layer " + ", ".join(layer_name(index[0]) for index in selection.indices) + f" by {rule}"
    heads = [f"({block}, {head})" for block, head in selection.indices]
    more = f" and {len(heads) - _SHOWN_HEADS} more" if len(heads) > _SHOWN_HEADS else ""
    return "heads " + ", ".join(heads[:_SHOWN_HEADS]) + f"{more} as (block, head) ({rule})"


def _chance(part: ReportPart) -> list[dict[str, Any]]:
    """Look up what chance gives for each chosen layer or head, where the job asked for it."""
    saliency = part.saliency or {}
    if "chance" not in saliency and "cross_fitted_auc" not in saliency:
        return []
    selection = part.detector.selection
    first = selection.first_layer if selection.unit == "layer" else 0
    rows = []
    for index in selection.indices[:_SHOWN_HEADS]:
        place = (index[0] - first, *index[1:])
        row: dict[str, Any] = {
            "index": ", ".join(map(str, index)),
            "score": _at(saliency["scores"], place),
        }
        for name in ("quantile", "p_value", "familywise"):
            row[name] = _at(saliency["chance"][name], place) if "chance" in saliency else None
        aucs = saliency.get("cross_fitted_auc", {})
        row["cross_fitted"] = {prompt: _at(values, place) for prompt, values in aucs.items()}
        rows.append(row)
    return rows


def _at(values: Any, place: tuple[int, ...]) -> float | None:
    for step in place:
        values = values[step]
    return None if values is None else float(values)


def _saliency_pictures(part: ReportPart) -> list[_Picture]:
    """Draw figure 2 of the method's paper, where something was ranked."""
    if part.saliency is None:
        return []
    indices = part.detector.selection.indices
    label = f"{part.detector.features.backbone.key}, {part.detector.provenance['dataset']}"
    if part.detector.selection.unit == "layer":
        picture = draw_layer_metrics([layer_curves(label, part.saliency, indices[0][0])])
        caption = (
            "Metrics of every layer on the calibration rows, and the sum of their z-scores; the ringed layer is used."
        )
        return [_Picture("Layer saliency", caption, _base64(style.png(picture)))]
    picture = draw_head_maps([head_maps(label, part.saliency, [(index[0], index[1]) for index in indices])])
    caption = (
        "Saliency of every head under each prompt, their mean over the prompts, its deviation (instability), and the "
        "mean minus the weighted deviation (RSS); the framed heads are used."
    )
    return [_Picture("Head saliency", caption, _base64(style.png(picture)))]


def _stored_pictures(part: ReportPart) -> list[_Picture]:
    """Return the figures that were drawn before, but for those that every page has."""
    drawn = [figure for figure in part.figures if figure.name.rpartition("-")[2] not in ("2", "6")]
    return [_Picture(f"{one.title} ({one.name})", one.caption, _base64(one.png)) for one in drawn]


def _reliability(part: ReportPart) -> list[_Picture]:
    found = part.result["reliability"]
    if found is None:
        return []
    picture = style.png(draw_reliability(found["bins"]))
    return [_Picture("Probabilities and what happened", f"{found['line']}. {found['meaning']}", _base64(picture))]


def _drawn(part: ReportPart) -> list[Video]:
    scored = set(pc.unique(part.scores["video_id"]).to_pylist())
    return videos_to_draw(part.truth, scored, part.curves, 2)


def _curve(part: ReportPart, video: Video) -> _Picture:
    rows = part.scores.filter(pc.equal(part.scores["video_id"], video.video_id))
    starts, stops = rows["start_frame"].to_numpy(), rows["stop_frame"].to_numpy()
    n_frames = int(stops.max())
    raw, smoothed = (to_frames(rows[name].to_numpy(), starts, stops, n_frames) for name in ("raw_score", "score"))
    truth = part.truth.truth(video.video_id, n_frames) if video.label is not None else None
    detected = _detected(part, video)
    picture = anomaly_curve(raw, smoothed, truth, part.detector.locator.threshold, video.fps, detected)
    kind = {None: "no label", 0: "normal", 1: f"anomalous: {video.category or 'kind unknown'}"}[video.label]
    found = ", ".join(f"{start} to {stop - 1}" for start, stop in detected[:_SHOWN_EVENTS])
    more = f" and {len(detected) - _SHOWN_EVENTS} more" if len(detected) > _SHOWN_EVENTS else ""
    caption = f"{n_frames} frames; {kind}. Detected: {f'frames {found}{more}' if found else 'nothing'}."
    return _Picture(video.video_id, caption, _base64(picture))


def _detected(part: ReportPart, video: Video) -> list[tuple[int, int]]:
    """Return the half-open frames of a video's anomalous segments."""
    of_video = pc.and_(pc.equal(part.events["video_id"], video.video_id), pc.equal(part.events["kind"], "anomalous"))
    rows = part.events.filter(of_video)
    return list(zip(rows["start_frame"].to_pylist(), rows["stop_frame"].to_pylist(), strict=True))


def _base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode("ascii")
