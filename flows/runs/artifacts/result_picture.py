"""The curves of a result as a picture."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vadprobe.analyze.detector.scoring import Scores
    from vadprobe.analyze.features.inputs import AnalysisInputs


def result_picture(inputs: "AnalysisInputs", scores: "Scores") -> bytes | None:
    """Return a PNG with the ROC and PR curves of the labelled test videos; None if one class has no frames."""
    from vadprobe.analyze.evaluation.ground_truth import ground_truth
    from vadprobe.analyze.report.evaluation_files import ranking_picture

    scored = set(scores.table.video_ids)
    labelled = [one for one in inputs.truth.of_split("test") if one.label is not None and one.video_id in scored]
    if not labelled:
        return None
    truth = ground_truth(inputs.truth, labelled)
    return ranking_picture(truth, scores.laid(truth, scores.smoothed))
