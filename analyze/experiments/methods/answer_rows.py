"""Rows of a comparison from the backbone's own answers: p(yes) of every prompt, raw and smoothed."""

from collections.abc import Sequence

from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
from vadprobe.analyze.experiments.methods.entries import Target
from vadprobe.analyze.experiments.methods.entry import Entry
from vadprobe.analyze.experiments.methods.measured import Groups, Segments, measure_segments
from vadprobe.analyze.features.answers import answer_notes, answers_by_prompt
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.locator.smoothing import Smoothing, smooth
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.sampling import Sampling

ANSWER = "yes"
"""Beginning of the keys of these rows."""


def answer_entries(lab: ExperimentContext, groups: Groups, methods: Sequence[Entry], target: Target) -> list[Entry]:
    """Measure p(yes) on the segments of each method's job, or of its target; `methods` give the smoothing.

    Jobs with the same segments share their rows.
    """
    cases = {"dlsp": lab.case_of("hiprobe"), "rhi": lab.case_of("headhunt")}
    if cases["dlsp"] is cases["rhi"]:
        del cases["rhi"]
    entries: dict[tuple[Sampling, str], Entry] = {}
    for key, case in cases.items():
        for entry in _of_job(lab, groups, case, target(case), *_smoothing(case, key, methods)):
            entries.setdefault((case.segment, entry.label), entry)
    return list(entries.values())


def _of_job(
    lab: ExperimentContext,
    groups: Groups,
    case: ExperimentJob,
    other: ExperimentJob | None,
    sigma: float,
    smoothing: Smoothing,
) -> list[Entry]:
    name, label = f"{ANSWER}-{case.config.method}", f"p(yes) about {case.segment.clip_length} frames"
    lab.report("", label)
    try:
        inputs = _inputs(case, other)
    except VadprobeError as error:
        return [Entry(name, label, reason=str(error))]
    rows, clips = inputs.rows_of_split("test"), inputs.store.clips
    names = [clips.video_ids[code] for code in clips.video_codes[rows]]
    notes = answer_notes(inputs.store.spec)
    entries = []
    for prompt, answer in answers_by_prompt(inputs, rows).items():
        words = f"{label}, {prompt}"
        if answer.probabilities is None:
            entries.append(Entry(f"{name}-{prompt}", words, reason=answer.reason, notes=notes))
            continue
        variants = {"raw": (words, answer.probabilities)}
        if sigma > 0:  # without smoothing the row would be equal
            smoothed = smooth(answer.probabilities, sigma, clips.video_codes[rows], smoothing)
            variants["smoothed"] = (f"  {prompt}, smoothed as the method (sigma {sigma:g})", smoothed)
        for variant, (shown, scores) in variants.items():
            segments = Segments(names, clips.start_frames[rows], clips.stop_frames[rows], scores)
            found = measure_segments(lab, inputs.truth, segments, groups, case.config)
            entries.append(Entry(f"{name}-{prompt}-{variant}", shown, (found,), notes=notes))
    return entries


def _inputs(case: ExperimentJob, other: ExperimentJob | None) -> AnalysisInputs:
    """Open the segments of the job, or those of another job that its detector would score.

    Raises:
        VadprobeError: if they are missing.
    """
    job, samplings = (case, None) if other is None else (other, (case.segment,))
    config = job.config.model_copy(update={"detector": "none", "score_prompt": case.score_prompt})
    return job.inputs(config, samplings)


def _smoothing(case: ExperimentJob, key: str, methods: Sequence[Entry]) -> tuple[float, Smoothing]:
    """Return sigma, edge and reach of the smoothing of the job's method; the fitted sigma if there is one."""
    detector = next((one.draws[0].detector for one in methods if one.key == key and one.draws), None)
    if detector is not None:
        return detector.locator.sigma, detector.locator.smoothing
    return case.config.locator.sigmas[0], case.config.locator.smoothing
