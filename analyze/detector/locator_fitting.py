"""Fitting the locator of a job: a fixed or adaptive threshold, or the best pair of a grid on held-out videos."""

from dataclasses import asdict
from typing import Any

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.compute.registry import added_code
from vadprobe.analyze.compute.scheduling import Scheduler
from vadprobe.analyze.compute.step_cache import CachedResult, StepCache
from vadprobe.analyze.evaluation.metrics import clip_counts
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.analyze.features.cached_scores import cached_probabilities, segment_probabilities
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.locator.rules import LOCATOR_RULES, Grid, LocatorRule, LocatorSamples
from vadprobe.analyze.locator.settings import LocatorConfig
from vadprobe.analyze.probes.kinds.registry import Probe
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.joining import naming
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_arrays
from vadprobe.store.format.clip_table import ClipTable


def fit_locator(
    inputs: AnalysisInputs,
    config: LocatorConfig,
    calibration: Calibration,
    selection: Selection,
    probe: Probe,
    cache: StepCache,
    scheduler: Scheduler,
) -> Locator:
    """Fit smoothing and threshold for one fitted probe.

    Raises:
        VadprobeError: if the rule tunes and there are no labelled validation videos, or an anomalous one has no
            interval.
    """
    if not isinstance(config.threshold, str):
        return Locator(config.sigmas[0], float(config.threshold), config.edge, config.truncate)
    rule = LOCATOR_RULES[config.threshold]
    clips = _held_out(inputs, config, selection, probe, cache, scheduler) if rule.tunes else None

    def calibrated() -> np.ndarray:
        return cached_probabilities(inputs.calibration_store, selection, probe, calibration.rows, cache, scheduler)

    def held_out() -> ScoredClips:
        if clips is None:
            raise VadprobeError(f"the rule {config.threshold!r} must have tunes = True to see the held-out clips.")
        return clips

    samples = LocatorSamples(
        calibrated,
        calibration.labels,
        held_out,
        config.sigmas,
        config.grid,
        config.smoothing,
        config.kappa,
        config.adaptive_samples == "anomalous",
    )
    return rule.fit(samples) if clips is None else _tuned(rule, samples, clips, cache)


def _tuned(rule: LocatorRule, samples: LocatorSamples, clips: ScoredClips, cache: StepCache) -> Locator:
    """Fit a rule that tunes; the result is kept under the digest of what the rule sees."""
    key = {
        "samples": digest_arrays([clips.scores, clips.positives, clips.negatives, clips.groups]),
        "sigmas": list(samples.sigmas),
        "thresholds": list(samples.thresholds),
        "smoothing": asdict(samples.smoothing),
        **({} if isinstance(rule, Grid) else _seen_by(rule, samples)),
    }

    def compute() -> CachedResult:
        return CachedResult({"locator": rule.fit(samples).to_json()})

    return Locator.from_json(cache.result("locator-grid", key, compute).values["locator"])


def _seen_by(rule: LocatorRule, samples: LocatorSamples) -> dict[str, Any]:
    """Return the step's inputs for what a rule other than the grid may see."""
    calibration = digest_arrays([samples.calibrated(), samples.labels])
    settings = [samples.kappa, samples.anomalous_only]
    return {"rule": repr(rule), "calibration": calibration, "settings": settings, **added_code(rule)}


def _held_out(
    inputs: AnalysisInputs,
    config: LocatorConfig,
    selection: Selection,
    probe: Probe,
    cache: StepCache,
    scheduler: Scheduler,
) -> ScoredClips:
    """Score the clips of the labelled videos of the locator's split."""
    rows = tuning_rows(inputs, config)
    if len(rows) == 0:
        raise VadprobeError(
            f"locator.threshold is {config.threshold!r}, but no labelled {config.split} video is in the scored store. "
            "Name validation videos with frame labels ([dataset.validation] or the manifest), or give a fixed "
            "threshold such as the paper's 0.65 with sigmas = [1.5]."
        )
    _check_intervals(inputs.truth, config)
    table = inputs.store.clips
    scores = segment_probabilities(inputs, selection, probe, rows, cache, scheduler)
    positives, negatives = row_counts(inputs.truth, table, rows)
    return ScoredClips(scores, positives, negatives, table.video_codes[rows])


def tuning_rows(inputs: AnalysisInputs, config: LocatorConfig) -> np.ndarray:
    """Return the rows of the scored store that a tuning rule sees, ascending: those of labelled videos of its split.

    No rows if the rule does not tune.
    """
    if not config.tunes:
        return np.empty(0, dtype=np.int64)
    return inputs.store.clips.rows_of(video.video_id for video in _labelled(inputs.truth, config))


def _labelled(truth: Dataset, config: LocatorConfig) -> list[Video]:
    return [video for video in truth.of_split(config.split) if video.label is not None]


def _check_intervals(truth: Dataset, config: LocatorConfig) -> None:
    """Refuse anomalous videos without intervals: all their frames would count as normal."""
    names = [v.video_id for v in _labelled(truth, config) if v.label == 1 and not truth.intervals_of(v.video_id)]
    if names:
        raise VadprobeError(
            f"locator.threshold is {config.threshold!r}, but {len(names)} anomalous {config.split} videos have no "
            f"interval ({naming(names)}): all their frames would count as normal. Annotate them, leave them out of the "
            "split, or give a fixed threshold."
        )


def row_counts(truth: Dataset, table: ClipTable, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of anomalous and of normal frames of some rows of a clip table, (n,) int64 each."""
    positives = np.zeros(len(rows), dtype=np.int64)
    negatives = np.zeros(len(rows), dtype=np.int64)
    codes = table.video_codes[rows]
    order = np.argsort(codes, kind="stable")
    firsts = np.flatnonzero(np.concatenate([[True], np.diff(codes[order]) != 0])[: len(order)])
    for here in np.split(order, firsts[1:]) if len(order) else []:
        starts, stops = table.start_frames[rows[here]], table.stop_frames[rows[here]]
        frames = truth.truth(table.video_ids[codes[here[0]]], int(stops.max()))
        positives[here], negatives[here] = clip_counts(frames, starts, stops)
    return positives, negatives
