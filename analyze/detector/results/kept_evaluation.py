"""Evaluations kept as steps: the same scores on the same truth are measured once."""

from dataclasses import asdict

import numpy as np
import pyarrow as pa

from vadprobe.analyze.compute.step_cache import CachedResult, StepCache
from vadprobe.analyze.evaluation.evaluation import BootstrapConfig, Evaluation
from vadprobe.analyze.evaluation.ground_truth import GroundTruth
from vadprobe.analyze.evaluation.measuring import evaluate_scores, video_table
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.store.files.digests import digest_arrays


def measured(
    cache: StepCache,
    truth: GroundTruth,
    segments: SegmentScores,
    threshold: float,
    settings: BootstrapConfig,
    *,
    with_baselines: bool = True,
    step: str = "evaluation",
) -> tuple[Evaluation, pa.Table]:
    """Return a method's evaluation and its table of videos, kept under the digest of scores and truth.

    Arguments as for `evaluate_scores`; `step` is the name of the step.
    """

    def compute() -> CachedResult:
        sink = pa.BufferOutputStream()
        rows = video_table(truth, segments, threshold)
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        content = np.frombuffer(sink.getvalue(), dtype=np.uint8)
        found = evaluate_scores(truth, segments, threshold, settings, with_baselines=with_baselines)
        return CachedResult(found.to_json(), {"videos": content})

    arrays = [segments.codes, segments.start_frames, segments.stop_frames, segments.scores]
    key = {
        "scores": digest_arrays(arrays),
        "videos": list(truth.video_ids),
        "ground_truth": truth.digest,
        "categories": list(truth.categories),
        "threshold": repr(threshold),
        "bootstrap": asdict(settings),
        "with_baselines": with_baselines,
    }
    kept = cache.result(step, key, compute)
    return Evaluation.from_json(kept.values), pa.ipc.open_stream(kept.arrays["videos"].tobytes()).read_all()
