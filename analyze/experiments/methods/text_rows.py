"""Rows of a comparison from the texts that a backbone generates about segments."""

from collections.abc import Sequence

from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
from vadprobe.analyze.experiments.methods.entry import Entry
from vadprobe.analyze.experiments.methods.measured import Groups, Segments, measure_segments
from vadprobe.analyze.experiments.methods.text_output import TextOutput, read_texts
from vadprobe.store.errors import VadprobeError

TEXT = "text"
"""Beginning of the keys of these rows."""


def text_entries(lab: ExperimentContext, groups: Groups, methods: Sequence[Entry]) -> list[Entry]:
    """Measure the backbone's texts for each job that has them; `methods` give the smoothing."""
    cases = {"dlsp": lab.case_of("hiprobe"), "rhi": lab.case_of("headhunt")}
    if cases["dlsp"] is cases["rhi"]:
        del cases["rhi"]
    return [
        entry
        for key, case in cases.items()
        if case.texts is not None and case.texts.exists()
        for entry in _of_job(lab, groups, case, next((one for one in methods if one.key == key and one.draws), None))
    ]


def _of_job(lab: ExperimentContext, groups: Groups, case: ExperimentJob, method: Entry | None) -> list[Entry]:
    """Measure a job's texts: raw probabilities, probabilities smoothed as by its method, and the words they contain."""
    name, label = f"{TEXT}-{case.config.method}", f"text about {case.segment.clip_length} frames"
    lab.report("", label)
    try:
        texts = _read_whole(case)
    except VadprobeError as error:
        return [Entry(name, label, reason=str(error))]
    detector = method.draws[0].detector if method is not None else None
    sigma = detector.locator.sigma if detector is not None else case.config.locator.sigmas[0]
    smoothing = (detector or case.config).locator.smoothing
    variants = {
        "raw": (f"{label}: p of event words", texts.probabilities),
        "smoothed": (f"  smoothed as the method (sigma {sigma:g})", texts.smoothed(sigma, smoothing)),
        "said": ("  an event word is said, or not", texts.says_event),
    }
    entries = []
    for variant, (words, scores) in variants.items():
        segments = Segments(texts.video_ids, texts.start_frames, texts.stop_frames, scores)
        found = measure_segments(lab, case.truth, segments, groups, case.config)
        entries.append(Entry(f"{name}-{variant}", words, (found,), notes=texts.notes(label)))
    return entries


def _read_whole(case: ExperimentJob) -> TextOutput:
    """Read the texts of a job.

    Raises:
        VadprobeError: if they are of other features, or a test segment of the store has none.
    """
    inputs = case.inputs(case.config)
    assert case.texts is not None
    texts = read_texts(case.texts, inputs.store.spec)
    texts.check_whole(inputs.store.clips, inputs.rows_of_split("test"))
    return texts
