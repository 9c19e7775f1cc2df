"""Fitting a detector: calibration rows, saliency, selection, probe, locator, each from the rows it may see."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vadprobe.analyze.blocks import Metrics, head_saliency, layer_saliency, probabilities
from vadprobe.analyze.calibration import Calibration, calibration_rows, draw_videos
from vadprobe.analyze.cluster import Scheduler
from vadprobe.analyze.detector import Detector
from vadprobe.analyze.features import read_selected
from vadprobe.analyze.inputs import AnalysisInputs
from vadprobe.analyze.locator import Locator, adaptive_threshold, frame_f1_grid
from vadprobe.analyze.metrics import clip_counts
from vadprobe.analyze.overlap import check_overlap, overlapping
from vadprobe.analyze.probe import Probe, fit_logistic
from vadprobe.analyze.ranking import dlsp, rhi
from vadprobe.analyze.selection import Selection, select_heads, select_layer
from vadprobe.store.clips import ClipTable
from vadprobe.store.datasets import Dataset
from vadprobe.store.errors import VadprobeError
from vadprobe.store.reader import FeatureStore

_THRESHOLDS = tuple(step / 100 for step in range(1, 100))
"""Thresholds of the locator grid: 0.01 to 0.99."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A detector with what the report shows of its making; ``saliency`` is JSON-ready."""

    detector: Detector
    calibration: Calibration
    saliency: dict[str, Any]
    left_out: tuple[str, ...]


def fit(inputs: AnalysisInputs, scheduler: Scheduler) -> Fitted:
    """Fit a detector on the calibration rows; only the locator's grid sees validation videos, nothing the test's."""
    check_tuning(inputs)
    calibration, left_out = calibrate(inputs)
    check_fitting(inputs, calibration)
    saliency = measure(inputs, calibration, scheduler)
    selection, shown = select(inputs, calibration, saliency)
    probe = fit_probe(inputs, calibration, selection)
    locator = fit_locator(inputs, calibration, selection, probe, scheduler)
    return Fitted(assemble(inputs, calibration, selection, probe, locator), calibration, shown, left_out)


def calibrate(inputs: AnalysisInputs) -> tuple[Calibration, tuple[str, ...]]:
    """Draw the calibration rows (HP 4.1).

    Training videos that could not be read are left out before the draw and named.

    Returns:
        The calibration, and the names left out.
    """
    config = inputs.config.calibration
    stores = list(inputs.calibration.values())
    table = stores[0].clips
    written = np.logical_and.reduce([store.written for store in stores])
    readable = {table.video_ids[code] for code in np.unique(table.video_codes[written])}
    if table.sampling.unit == "video":
        failed = {table.video_ids[code] for code in table.video_codes[~written]}
        readable -= failed
    training = inputs.truth.of_split("train")
    left_out = tuple(sorted(video.video_id for video in training if video.video_id not in readable))
    drawn = draw_videos([v for v in training if v.video_id in readable], config.fraction, config.seed)
    calibration = calibration_rows(
        table, drawn, inputs.truth, segment_label=config.segment_label, seed=config.seed, fraction=config.fraction
    )
    return _written_only(calibration, written), left_out


def _written_only(calibration: Calibration, written: np.ndarray) -> Calibration:
    """Without the rows of single failed clips in videos that are otherwise readable."""
    keep = written[calibration.rows]
    if keep.all():
        return calibration
    return replace(
        calibration,
        rows=calibration.rows[keep],
        labels=calibration.labels[keep],
        groups=calibration.groups[keep],
    )


def measure(inputs: AnalysisInputs, calibration: Calibration, scheduler: Scheduler) -> dict[str, Metrics]:
    """Saliency of every layer or head on the calibration rows, by prompt."""
    if inputs.config.method == "hiprobe":
        store = inputs.calibration[inputs.score_prompt]
        return {inputs.score_prompt: layer_saliency(store, calibration, scheduler)}
    return head_saliency(inputs.calibration, calibration, inputs.config.seed, scheduler)


def select(
    inputs: AnalysisInputs, calibration: Calibration, saliency: dict[str, Metrics]
) -> tuple[Selection, dict[str, Any]]:
    """The layer of greatest saliency (HP7), or the heads of greatest robust saliency (HH9).

    Returns:
        The selection, and what the report shows of it as JSON values: ``scores`` that were ranked, their ``parts``,
        and the raw ``metrics`` by prompt.
    """
    config = inputs.config
    digests = {"calibration": calibration.digest, "features": inputs.feature_digest}
    metrics = {prompt: {name: _plain(v) for name, v in found.items()} for prompt, found in saliency.items()}
    if config.method == "hiprobe":
        selection = select_layer(saliency[inputs.score_prompt], inputs=digests)
        scores, parts = dlsp(saliency[inputs.score_prompt])
        layers = list(range(selection.first_layer, selection.first_layer + len(scores)))
    else:
        selection = select_heads(saliency, weight=config.instability_weight, top=config.top_heads, inputs=digests)
        robust = rhi(saliency, config.instability_weight, config.top_heads)
        scores, parts, layers = robust.robust, {"mean": robust.mean, "instability": robust.instability}, []
    shown = {
        "scores": _plain(scores),
        "parts": {name: _plain(values) for name, values in parts.items()},
        "layers": layers,
        "metrics": metrics,
    }
    return selection, shown


def _plain(values: np.ndarray) -> Any:
    """An array as nested lists, unknown values as None."""
    plain = values.astype(object)
    plain[np.isnan(values)] = None
    return plain.tolist()


def fit_probe(inputs: AnalysisInputs, calibration: Calibration, selection: Selection) -> Probe:
    """Logistic regression on the score prompt's selected features of the calibration rows."""
    config = inputs.config.probe
    features = read_selected(inputs.calibration[inputs.score_prompt], selection, calibration.rows)
    return fit_logistic(
        features, calibration.labels, C=config.c, max_iter=config.max_iterations, class_weight=config.class_weight
    )


def fit_locator(
    inputs: AnalysisInputs, calibration: Calibration, selection: Selection, probe: Probe, scheduler: Scheduler
) -> Locator:
    """Smoothing and threshold: fixed, adaptive (HP10), or the grid's best on the validation split (HH12).

    Raises:
        VadprobeError: if a grid is asked for and there are no labelled validation videos.
    """
    config = inputs.config.locator
    if config.threshold == "adaptive":
        store = inputs.calibration[inputs.score_prompt]
        fitted = probabilities(store, selection, probe, calibration.rows, scheduler)
        return Locator(config.sigmas[0], adaptive_threshold(fitted, config.kappa))
    if config.threshold != "grid":
        return Locator(config.sigmas[0], float(config.threshold))
    rows = inputs.rows_of_split(config.split)
    if len(rows) == 0:
        raise VadprobeError(
            f"locator.threshold is 'grid', but no {config.split} video is in the scored store. Name validation videos "
            "with frame labels ([dataset.validation] or the manifest), or give a fixed threshold such as the paper's "
            "0.65 with sigmas = [1.5]."
        )
    table = inputs.store.clips
    scores = probabilities(inputs.store, selection, probe, rows, scheduler)
    positives, negatives = row_counts(inputs.truth, table, rows)
    grid = frame_f1_grid(scores, positives, negatives, table.video_codes[rows], config.sigmas, _THRESHOLDS)
    return grid.locator


def tuned_on(inputs: AnalysisInputs) -> dict[str, str]:
    """Fingerprints by name of the videos the locator's grid sees; none if nothing is searched for."""
    config = inputs.config.locator
    if config.threshold != "grid":
        return {}
    return _fingerprints(inputs.store.clips, inputs.rows_of_split(config.split))


def _fingerprints(table: ClipTable, rows: np.ndarray) -> dict[str, str]:
    codes = np.unique(table.video_codes[rows]).tolist()
    return {table.video_ids[code]: table.fingerprints[code] for code in codes}


def check_tuning(inputs: AnalysisInputs) -> None:
    """Refuse, before anything is computed, to tune on videos that will be reported.

    Raises:
        VadprobeError: naming the videos, unless the job allows the overlap.
    """
    table = inputs.store.clips
    reported = _fingerprints(table, inputs.rows_of_split("test"))
    check_overlap(overlapping(reported, tuned_on(inputs)), "tuned", inputs.config.allow_overlap)


def check_fitting(inputs: AnalysisInputs, calibration: Calibration) -> None:
    """Refuse, before anything is computed, to fit on a file that is reported under another name.

    Raises:
        VadprobeError: naming the videos, unless the job allows the overlap.
    """
    reported = _fingerprints(inputs.store.clips, inputs.rows_of_split("test"))
    fitted = _fingerprints(inputs.calibration[inputs.score_prompt].clips, calibration.rows)
    check_overlap(overlapping(reported, fitted), "fitted", inputs.config.allow_overlap)


def row_counts(truth: Dataset, table: ClipTable, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Anomalous and normal frames of some rows of a clip table, (n,) int64 each."""
    positives = np.zeros(len(rows), dtype=np.int64)
    negatives = np.zeros(len(rows), dtype=np.int64)
    codes = table.video_codes[rows]
    for code in np.unique(codes):
        here = codes == code
        starts, stops = table.start_frames[rows[here]], table.stop_frames[rows[here]]
        frames = truth.truth(table.video_ids[code], int(stops.max()))
        positives[here], negatives[here] = clip_counts(frames, starts, stops)
    return positives, negatives


def assemble(
    inputs: AnalysisInputs, calibration: Calibration, selection: Selection, probe: Probe, locator: Locator
) -> Detector:
    """Put the fitted parts together with the digests of what they were fitted on."""
    store: FeatureStore = inputs.store
    return Detector(
        preset=inputs.config.preset,
        selection=selection,
        probe=probe,
        locator=locator,
        features=store.spec,
        provenance={
            "dataset": inputs.truth.name,
            "calibration": calibration.digest,
            "calibration_unit": calibration.unit,
            "features": inputs.feature_digest,
            "ground_truth": inputs.truth.truth_digest,
            "fitted_on": _fingerprints(inputs.calibration[inputs.score_prompt].clips, calibration.rows),
            "tuned_on": tuned_on(inputs),
        },
    )
