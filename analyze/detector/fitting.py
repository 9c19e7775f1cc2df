"""Fitting a detector: calibration set, saliency, selection, probe and locator, each from the rows that it may see."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration, calibration_rows, draw_videos
from vadprobe.analyze.calibration.overlap import check_overlap, overlapping
from vadprobe.analyze.compute.registry import added_code
from vadprobe.analyze.compute.scheduling import Scheduler
from vadprobe.analyze.compute.step_cache import CachedResult, StepCache
from vadprobe.analyze.configuration import AnalysisConfig, CalibrationConfig
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.detector.locator_fitting import fit_locator, tuning_rows
from vadprobe.analyze.detector.permutation_test import chance_of
from vadprobe.analyze.detector.readings import changed_readings
from vadprobe.analyze.detector.selection_rules import choose
from vadprobe.analyze.features.cached_scores import samples_digest
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.features.selected import n_selected, read_selected
from vadprobe.analyze.features.store_row_blocks import StoreRowBlocks
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.probes.fitting import fit_probe
from vadprobe.analyze.probes.kinds.registry import SCORERS, Probe, probe_from_json
from vadprobe.analyze.probes.samples import drawn_samples
from vadprobe.analyze.probes.settings import ProbeConfig
from vadprobe.analyze.probes.streaming.logistic import fit_streamed_logistic
from vadprobe.analyze.probes.terms import Penalty
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_arrays
from vadprobe.store.format.clip_table import ClipTable


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted detector with its calibration and selection; `saliency` are JSON values, None if nothing was ranked."""

    detector: Detector
    calibration: Calibration
    saliency: dict[str, Any] | None
    left_out: tuple[str, ...]


def fit(inputs: AnalysisInputs, config: AnalysisConfig, cache: StepCache, scheduler: Scheduler) -> Fitted:
    """Fit a detector on the calibration rows; a tuning locator also sees labelled validation videos, none of the test.

    Raises:
        VadprobeError: if something would be fitted or tuned on a reported video without the job's permission, or a part
            cannot be fitted.
    """
    check_tuning(inputs, config)
    calibration, left_out = calibrate(inputs, config.calibration)
    check_fitting(inputs, calibration, config.allow_overlap)
    choice = choose(inputs, config, calibration, cache, scheduler)
    details = choice.details
    if details is not None:
        details = {**details, **chance_of(inputs, config, calibration, cache, scheduler)}
    unlabelled = inputs.rows_of_split("test") if config.probe.statistics == "test" else None
    probe = fitted_probe(inputs, config.probe, calibration, choice.selection, cache, scheduler, unlabelled)
    locator = fit_locator(inputs, config.locator, calibration, choice.selection, probe, cache, scheduler)
    detector = assemble(inputs, config, calibration, choice.selection, probe, locator)
    return Fitted(detector, calibration, details, left_out)


def calibrate(inputs: AnalysisInputs, config: CalibrationConfig) -> tuple[Calibration, tuple[str, ...]]:
    """Draw the calibration rows (HiProbe-VAD, section 4.1).

    Training videos that could not be read are left out before the draw.

    Returns:
        The calibration set, and the names of the videos that were left out.
    """
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
    """Return the calibration set without rows that are not `written`: single failed clips of readable videos."""
    keep = written[calibration.rows]
    if keep.all():
        return calibration
    return replace(
        calibration,
        rows=calibration.rows[keep],
        labels=calibration.labels[keep],
        groups=calibration.groups[keep],
    )


def fitted_probe(
    inputs: AnalysisInputs,
    config: ProbeConfig,
    calibration: Calibration,
    selection: Selection,
    cache: StepCache,
    scheduler: Scheduler,
    unlabelled: np.ndarray | None = None,
) -> Probe:
    """Fit the probe of the job's kind on the selected features of the calibration rows.

    `unlabelled` (m,) are rows of the scored store that the probe's statistics without labels see too (transductive);
    None for none.

    Raises:
        VadprobeError: if the features do not fit into memory and this kind of probe cannot be fitted in blocks, or the
            fit fails.
    """
    store = inputs.calibration_store
    n_rows = len(calibration.rows) + (0 if unlabelled is None else len(unlabelled))
    n_bytes = 8 * n_rows * n_selected(store, selection)
    streams = n_bytes > config.memory_gb * 1e9
    if streams and not config.streams:
        raise VadprobeError(
            f"the calibration features take {n_bytes / 1e9:.1f} GB, but probe.memory_gb is "
            f"{config.memory_gb:g}, and this probe cannot stream over the store: only a logistic probe of "
            "the convention 'paper' can, if it is scaled and fitted on all samples. Raise memory_gb, or "
            "draw a smaller calibration fraction."
        )
    key: dict[str, Any] = {
        **samples_digest(store, calibration),
        "selection": [selection.unit, [list(index) for index in selection.indices]],
        "probe": {name: str(value) for name, value in config.model_dump(exclude={"memory_gb"}).items()},
        "streams": streams,
        **added_code(SCORERS[config.kind]),
    }
    if unlabelled is not None:
        key["unlabelled"] = [inputs.store.digest_of(unlabelled), digest_arrays([unlabelled])]

    penalty = Penalty(config.c, config.class_weight, config.max_iterations)

    def stream() -> CachedResult:
        blocks = StoreRowBlocks(store, selection, calibration.rows, calibration.labels, scheduler, "fitting")
        return CachedResult(fit_streamed_logistic(blocks, penalty, seed=config.seed).to_json())

    def compute() -> CachedResult:
        drawn = drawn_samples(calibration.labels, config.fraction, config.resampling, config.seed)
        features = read_selected(store, selection, calibration.rows)
        probe = fit_probe(
            features[drawn],
            calibration.labels[drawn],
            kind=config.kind,
            penalty=penalty,
            hidden=config.hidden,
            seed=config.seed,
            convention=config.convention,
            scaling=config.scaling,
            options=config.options,
            unlabelled=None if unlabelled is None else read_selected(inputs.store, selection, unlabelled),
        )
        return CachedResult(probe.to_json())

    return probe_from_json(dict(cache.result("probe", key, stream if streams else compute).values))


def _fingerprints(table: ClipTable, rows: np.ndarray) -> dict[str, str]:
    codes = np.unique(table.video_codes[rows]).tolist()
    return {table.video_ids[code]: table.fingerprints[code] for code in codes}


def _seen_unlabelled(inputs: AnalysisInputs, config: AnalysisConfig) -> dict[str, Any]:
    """Return the part of the provenance that makes a detector transductive: videos seen without their labels."""
    if config.probe.statistics != "test":
        return {}
    return {"unlabelled_on": _fingerprints(inputs.store.clips, inputs.rows_of_split("test"))}


def check_tuning(inputs: AnalysisInputs, config: AnalysisConfig) -> None:
    """Refuse, before anything is computed, to tune on videos that will be reported.

    Raises:
        VadprobeError: naming the videos, unless the job allows the overlap.
    """
    table = inputs.store.clips
    reported = _fingerprints(table, inputs.rows_of_split("test"))
    tuned = _fingerprints(table, tuning_rows(inputs, config.locator))
    check_overlap(overlapping(reported, tuned), "tuned", config.allow_overlap)


def check_fitting(inputs: AnalysisInputs, calibration: Calibration, allow_overlap: bool) -> None:
    """Refuse, before anything is computed, to fit on a video that is reported, also under another name.

    Raises:
        VadprobeError: naming the videos, unless the job allows the overlap.
    """
    reported = _fingerprints(inputs.store.clips, inputs.rows_of_split("test"))
    fitted = _fingerprints(inputs.calibration_store.clips, calibration.rows)
    check_overlap(overlapping(reported, fitted), "fitted", allow_overlap)


def assemble(
    inputs: AnalysisInputs,
    config: AnalysisConfig,
    calibration: Calibration,
    selection: Selection,
    probe: Probe,
    locator: Locator,
) -> Detector:
    """Return the detector of fitted parts, with digests of what they were fitted on and the job's readings."""
    readings = changed_readings(config)
    return Detector(
        preset=config.preset,
        selection=selection,
        probe=probe,
        locator=locator,
        features=inputs.store.spec,
        provenance={
            "dataset": inputs.truth.name,
            "calibration": calibration.digest,
            "calibration_unit": calibration.unit,
            "features": inputs.feature_digest,
            "ground_truth": inputs.truth.truth_digest,
            "fitted_on": _fingerprints(inputs.calibration_store.clips, calibration.rows),
            **_frame_rates(inputs.calibration_store.clips, calibration.rows),
            **_seen_unlabelled(inputs, config),
            "tuned_on": _fingerprints(inputs.store.clips, tuning_rows(inputs, config.locator)),
            **({"readings": readings} if readings else {}),
            **({"notes": list(inputs.store.spec.notes)} if inputs.store.spec.notes else {}),
        },
    )


def _frame_rates(clips: ClipTable, rows: np.ndarray) -> dict[str, list[float]]:
    """Return {"fps": [lowest, highest]} of the frame rates of some rows' videos; empty if none is known."""
    rates = clips.fps[np.unique(clips.video_codes[rows])]
    known = rates[np.isfinite(rates)]
    return {"fps": [float(known.min()), float(known.max())]} if len(known) else {}
