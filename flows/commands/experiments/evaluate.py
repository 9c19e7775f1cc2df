"""The command evaluate: scores of any origin against a ground truth."""

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from vadprobe.analyze.configuration import EvaluationConfig
from vadprobe.flows.commands.options import DatasetOptions
from vadprobe.flows.jobs.experiments.score_source import ScoreSource
from vadprobe.flows.jobs.progress import Bar
from vadprobe.store.datasets.video import Split

_MEASURING = Group("Measuring", sort_key=2)


@Parameter(name="*", group=Group("Scores", sort_key=0))
class ScoreOptions(ScoreSource):
    """Options that say what the scores are, and what to do with those that do not fit."""


def evaluate(
    *,
    scores: ScoreOptions,
    dataset: DatasetOptions = DatasetOptions(),
    split: Annotated[Split, Parameter(group=_MEASURING)] = "test",
    threshold: Annotated[float | None, Parameter(group=_MEASURING)] = None,
    bootstrap: Annotated[EvaluationConfig, Parameter(name="*", group=_MEASURING)] = EvaluationConfig(),
    published: Annotated[bool, Parameter(group=_MEASURING)] = False,
    out: Annotated[Path, Parameter(group=_MEASURING)] = Path("evaluation"),
    json: Annotated[bool, Parameter(group=_MEASURING)] = False,
) -> int:
    """Measure scores of any origin on frames, with intervals and baselines.

    Example: vadprobe evaluate --scores scores.json --format ucf-crime --annotations annotation.txt

    Args:
        split: videos that are measured
        threshold: above it a frame is anomalous; default: 0.5 for scores in [0, 1]
        published: print what others have published on the set
        out: the folder of the results
        json: print JSON, for programs: the content of metrics.json
    """
    from vadprobe.flows.jobs.experiments.measured_scores import check_measuring, measure_scores
    from vadprobe.flows.jobs.job import load_job
    from vadprobe.flows.jobs.truth_reader import TruthReader, facts_of

    check_measuring(threshold, bootstrap, out)
    config, workspace = dataset.section()
    job = None if dataset.config is None else load_job(dataset.config)
    facts = facts_of(config, workspace, job, Bar("counting frames", "video"))
    reader = TruthReader(config, workspace, split, facts)
    found = measure_scores(scores, reader, threshold, bootstrap, out)
    print((out / found.files[0]).read_text(encoding="utf-8") if json else found.text(published))
    return 0
