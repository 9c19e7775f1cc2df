"""Explanations of a finished result: the backbone's text about each detected event, kept beside the events."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.locator.event_files import EVENTS_PARQUET, dataset_of, read_events
from vadprobe.analyze.locator.explanation_files import (
    EXPLANATIONS_PARQUET,
    VERSION,
    Explanations,
    place_of,
    read_explanations,
)
from vadprobe.extract.model.texts.explanations import (
    Explainer,
    Explanation,
    ExplanationRequest,
    check_prompt,
)
from vadprobe.extract.video.decoder import Decoder
from vadprobe.flows.jobs.analyze_job import open_analysis
from vadprobe.flows.jobs.job import Job
from vadprobe.flows.jobs.texts.chosen_segments import chosen_segments
from vadprobe.flows.jobs.texts.explanation_plan import USUAL_PLAN, ExplanationPlan
from vadprobe.flows.jobs.texts.feature_backbone import FeatureBackbone
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.errors import VadprobeError, VideoError
from vadprobe.store.files.digests import fingerprint_file
from vadprobe.store.format.sampling import sample_frames
from vadprobe.store.progress import Progress
from vadprobe.store.writing.timings.text_timings import TextTimings, read_text_timings

EXPLANATION_TIMINGS = "explanation_timings.json"
"""Name of the file with the seconds of the explanations, beside them."""

_OF_SEGMENT = ("video_id", "split", "kind", "start_frame", "stop_frame", "start_second", "stop_second")


@dataclass
class _Writer:
    """Explains segments; the weights are loaded for the first one."""

    job: Job
    inputs: AnalysisInputs
    plan: ExplanationPlan
    n_frames: int

    @cached_property
    def backbone(self) -> FeatureBackbone:
        """The backbone of the features."""
        return FeatureBackbone(self.job, self.inputs.store.spec)

    @cached_property
    def explainer(self) -> Explainer:
        """The loaded backbone."""
        return Explainer(self.backbone.loaded, self.plan.settings, self.plan.batch)

    @cached_property
    def dataset(self) -> Dataset:
        """The video files."""
        return open_dataset(self.job.config.dataset, self.job.workspace)

    def check(self) -> None:
        """Check backbone and prompt before the first frame is read."""
        check_prompt(self.backbone.description, self.plan.prompt, self.n_frames)

    def recipe(self) -> dict[str, Any]:
        """Return all that every text depends on."""
        features, settings = self.inputs.store.spec.digest, self.plan.to_json(self.n_frames)
        return {"version": VERSION, "features": features, "prompt": self.plan.prompt, "settings": settings}

    def head(self, n_chosen: int) -> dict[str, Any]:
        """Return the facts at the head of the files, for `n_chosen` segments."""
        return {
            "dataset": self.inputs.truth.name,
            "preset": self.job.analysis.preset,
            "backbone": self.inputs.store.spec.backbone.key,
            "normal": self.plan.normal.to_json(),
            "n_chosen": n_chosen,
        }

    def rows(self, segments: Sequence[Mapping[str, Any]], decoder: Decoder) -> Iterator[dict[str, Any]]:
        """Yield the rows of the table about some segments."""
        requests, reasons = {}, {}
        for segment in segments:
            try:
                requests[place_of(segment)] = self.explainer.prepare(self._request(segment, decoder))
            except VideoError as error:
                reasons[place_of(segment)] = str(error)
        found = dict(zip(requests, self.explainer.explain(list(requests.values())), strict=True))
        for segment in segments:
            place = place_of(segment)
            yield self._row(segment, found.get(place), reasons.get(place))

    def _request(self, segment: Mapping[str, Any], decoder: Decoder) -> ExplanationRequest:
        video_id, start, stop = place_of(segment)
        clips, video = self.inputs.store.clips, self.dataset.by_id.get(video_id)
        if video is None or video_id not in clips.video_ids:
            raise VideoError("the job's dataset has no such video any more")
        code, path = clips.video_ids.index(video_id), self.dataset.folder / video.path
        if path.is_file() and fingerprint_file(path) != clips.fingerprints[code]:
            raise VideoError("the file was changed since the features were extracted")
        frames = decoder.read_clip(path, sample_frames(start, stop, self.n_frames))
        return ExplanationRequest(video_id, start, stop, frames, self.plan.prompt, (stop - start) / clips.fps[code])

    def _row(self, segment: Mapping[str, Any], found: Explanation | None, reason: str | None) -> dict[str, Any]:
        return {
            **_of_segment(segment),
            "text": None if found is None else found.text,
            "is_whole": None if found is None else found.is_whole,
            "reason": reason,
            "prompt": self.plan.prompt,
            "settings": json.dumps(self.plan.to_json(self.n_frames), sort_keys=True),
            "digest": None if found is None else found.digest,
        }


def explain(
    job: Job, plan: ExplanationPlan = USUAL_PLAN, progress: Progress = lambda done, total: None
) -> Explanations:
    """Let a job's backbone say what happens in each event of its finished result, and write the texts beside it.

    `explanations.parquet` and `explanations.json` are written after each batch. A later call with the same prompt and
    settings continues an earlier one; segments that could not be read are tried again. After a new analysis only new
    events are explained. No score depends on a text.

    Args:
        job: a job whose analysis is finished.
        plan: segments, prompt and settings.
        progress: called with the number of segments that are done, and of all.

    Raises:
        VadprobeError: if there are no events, they come from other features or another dataset, the backbone is not
            the one that made the features, or the prompt cannot be asked.
    """
    events = _events_of(job)
    inputs = open_analysis(job)
    _check_result(job, events, inputs)
    writer = _Writer(job, inputs, plan, plan.frames or inputs.store.spec.sampling.frames_per_clip)
    segments = chosen_segments(events, plan.normal)
    recipe, head = writer.recipe(), writer.head(len(segments))
    known, before = _kept(job, inputs, recipe)
    left = [segment for segment in segments if place_of(segment) not in known]
    if left:
        writer.check()
    with Decoder(job.config.extraction.decode_deadline) as decoder:
        # Written also if nothing is left to explain: rows of segments that no longer exist are then removed.
        for start in range(0, len(left), plan.batch) or (0,):
            batch = left[start : start + plan.batch]
            known |= {place_of(row): row for row in (writer.rows(batch, decoder) if batch else ())}
            rows = [{**known[place_of(one)], **_of_segment(one)} for one in segments if place_of(one) in known]
            found = Explanations(rows, head, recipe, inputs.store.spec.notes)
            found.write(job.out)
            if batch:
                writer.backbone.write_timings(writer.explainer.times, job.out / EXPLANATION_TIMINGS, before)
            progress(len(rows), len(segments))
    return found


def _of_segment(segment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a row that come from its segment."""
    return {name: segment[name] for name in _OF_SEGMENT}


def _events_of(job: Job) -> pa.Table:
    """Read the events of a finished analysis.

    Raises:
        VadprobeError: if there are none.
    """
    try:
        return read_events(job.out / EVENTS_PARQUET)
    except FileNotFoundError as error:
        raise VadprobeError(
            f"there are no detected events in {job.out}; run 'vadprobe analyze {job.path}' first."
        ) from error


def _check_result(job: Job, events: pa.Table, inputs: AnalysisInputs) -> None:
    """Refuse events that come from another backbone's features or from another dataset.

    Raises:
        VadprobeError: naming what differs.
    """
    Detector.read(job.out / "detector.json").check(inputs.store.spec)
    dataset = dataset_of(events)
    if dataset != inputs.truth.name:
        raise VadprobeError(
            f"the events in {job.out} must be those of the job's dataset {inputs.truth.name!r}, got {dataset!r}; run "
            f"'vadprobe analyze {job.path}' again."
        )


def _kept(
    job: Job, inputs: AnalysisInputs, recipe: Mapping[str, Any]
) -> tuple[dict[tuple[str, int, int], Mapping[str, Any]], TextTimings | None]:
    """Return texts of an earlier call with the same recipe by their segments, and their seconds."""
    spec = inputs.store.spec
    try:
        kept = read_explanations(job.out / EXPLANATIONS_PARQUET, spec)
    except VadprobeError:
        return {}, None
    if kept.recipe != recipe:
        return {}, None
    rows = {place_of(row): row for row in kept.rows if row["text"] is not None}
    return rows, read_text_timings(job.out / EXPLANATION_TIMINGS, spec.digest)
