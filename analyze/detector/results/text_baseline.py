"""The text-output baseline, measured like a method: p(yes) of every prompt, raw and smoothed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.detector.results.kept_evaluation import measured
from vadprobe.analyze.detector.scoring import Scores
from vadprobe.analyze.evaluation.evaluation import INTERVAL_METRICS, BootstrapConfig, Evaluation, null_for_nan
from vadprobe.analyze.evaluation.ground_truth import GroundTruth
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.analyze.features.answers import Answers
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.locator.smoothing import smooth
from vadprobe.store.datasets.dataset import Dataset

ANSWERS_PARQUET = "answers.parquet"
"""Name of the file of p(yes) beside the scores."""


@dataclass(frozen=True, eq=False)
class TextBaseline:
    """Numbers of p(yes) under one prompt; None where they are unknown, with the `reason`.

    `smoothed` are the numbers after the method's own smoothing within each video, with `sigma` in clips. `notes` are
    what a reader must know.
    """

    prompt: str
    sigma: float
    raw: Evaluation | None = None
    smoothed: Evaluation | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()

    def rows(self) -> dict[str, Evaluation | None]:
        """Return the evaluations by a name for a table."""
        return {f"p(yes), {self.prompt}": self.raw, f"p(yes), {self.prompt}, smoothed": self.smoothed}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: metrics that have an interval, with their intervals; unknown numbers are null."""
        return {
            "prompt": self.prompt,
            "sigma": self.sigma,
            "reason": self.reason,
            "notes": list(self.notes),
            "rows": {name: None if found is None else _numbers(found) for name, found in self.rows().items()},
        }


def _numbers(found: Evaluation) -> dict[str, Any]:
    metrics = {name: getattr(found, name) for name in INTERVAL_METRICS}
    return null_for_nan({**metrics, "intervals": found.intervals, "n_frames_unknown": found.n_frames_unknown})


def smoothed_answers(scores: Scores, answers: Answers, locator: Locator) -> np.ndarray:
    """Return p(yes) of the rows of some scores, smoothed within each video by the locator, (n,) float64."""
    assert answers.probabilities is not None
    codes = scores.table.video_codes[scores.rows]
    return smooth(answers.probabilities, locator.sigma, codes, locator.smoothing)


def write_answers(
    path: Path,
    scores: Scores,
    answers: Mapping[str, Answers],
    truth: Dataset,
    locator: Locator,
    notes: Sequence[str],
) -> None:
    """Write p(yes) of every prompt that has answers, one row per clip as in `scores.parquet`.

    The columns are `p_yes_<prompt>` and `p_yes_<prompt>_smoothed`. Without any answers no file is written.
    """
    columns = {}
    for prompt, answer in answers.items():
        if answer.probabilities is not None:
            columns[f"p_yes_{prompt}"] = answer.probabilities
            columns[f"p_yes_{prompt}_smoothed"] = smoothed_answers(scores, answer, locator)
    if columns:
        scores.write_columns(path, truth, columns, notes)
    else:
        path.unlink(missing_ok=True)


def text_baselines(
    answers: Mapping[str, Answers],
    scores: Scores,
    truth: GroundTruth | None,
    locator: Locator,
    settings: BootstrapConfig,
    cache: StepCache,
    notes: tuple[str, ...] = (),
) -> tuple[TextBaseline, ...]:
    """Measure the answers to each prompt on the videos of a ground truth; the numbers are kept as steps.

    Args:
        answers: by prompt, for the rows of `scores`.
        scores: of the method; only their rows and videos are used.
        truth: of the reported videos; None if none has a label.
        locator: the smoothing of the method.
        settings: of the intervals.
        cache: of steps.
        notes: from `answer_notes`.
    """
    found = []
    for prompt, answer in answers.items():
        if answer.probabilities is None or truth is None:
            reason = answer.reason or "no scored video has a label"
            found.append(TextBaseline(prompt, locator.sigma, reason=reason))
            continue
        raw, smoothed = (
            _measured(cache, truth, scores.laid(truth, values), settings)
            for values in (answer.probabilities, smoothed_answers(scores, answer, locator))
        )
        found.append(TextBaseline(prompt, locator.sigma, raw, smoothed, notes=notes))
    return tuple(found)


def _measured(cache: StepCache, truth: GroundTruth, segments: SegmentScores, settings: BootstrapConfig) -> Evaluation:
    """Measure without a threshold, since none is fitted for answers."""
    return measured(cache, truth, segments, float("nan"), settings, with_baselines=False, step="text-output")[0]
