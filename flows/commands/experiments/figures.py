"""The command figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vadprobe.flows.commands.experiments.options import ExperimentOptions
from vadprobe.flows.commands.options import VideoNames
from vadprobe.flows.jobs.experiments.context import open_context, steps_sentence
from vadprobe.flows.jobs.job import Job, load_job
from vadprobe.flows.jobs.progress import say
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.parquet import read_parquet

if TYPE_CHECKING:
    from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob
    from vadprobe.analyze.figures.catalogue import PaperFigure
    from vadprobe.analyze.figures.source import FigureSource
    from vadprobe.store.format.specification import FeatureSpec


def figure(
    *names: str,
    every: Annotated[bool, Parameter(name="--all")] = False,
    show_names: Annotated[bool, Parameter(name="--list")] = False,
    jobs: Annotated[tuple[Path, ...], Parameter(consume_multiple=(1, None), metavar="CONFIG")] = (),
    videos: VideoNames = None,
    options: ExperimentOptions = ExperimentOptions(),
) -> int:
    """Draw figures of both papers, each as PNG and SVG with its numbers as CSV and JSON.

    A figure that the stores cannot give is left out with its reason, and the exit code is 3. A figure that is drawn
    below the results of its job, as by default, appears in the job's report as well.

    Example: vadprobe figure hiprobe-3 --jobs my-job.toml

    Args:
        names: figures, such as hiprobe-3 headhunt-2; see --list
        every: every figure
        show_names: say which figures there are
        jobs: job files: the first of each method is drawn, others give more datasets and backbones
        videos: test videos of the figures of curves; default: one with an anomaly and one without, by name
        options: of every experiment
    """
    from vadprobe.analyze.figures.catalogue import FIGURES, check_names

    if show_names:
        print("\n".join(f"{name:11} {one.paper}" for name, one in FIGURES.items()))
        return 0
    if not every and not names:
        raise VadprobeError(
            "no figure is named; name at least one, or give --all. 'vadprobe figure --list' lists them."
        )
    chosen = list(FIGURES) if every else list(dict.fromkeys(names))
    check_names(chosen)
    if not jobs:
        raise VadprobeError(
            "no job is named; give at least one after --jobs, for example --jobs configs/headhunt.toml."
        )
    loaded = [load_job(path) for path in jobs]
    return 0 if draw_figures(loaded, chosen, videos or (), options) else 3


def draw_figures(jobs: Sequence[Job], names: Sequence[str], videos: Sequence[str], options: ExperimentOptions) -> bool:
    """Draw figures, print the path of each or why it cannot be drawn, and return True if all were drawn."""
    from vadprobe.analyze.figures.catalogue import FIGURES
    from vadprobe.analyze.figures.drawn import FOLDER

    whole = True
    with open_context(jobs, 1, options.fraction, "figures", len(names)) as context:
        outs = {case: job.out for case, job in zip(context.cases, jobs, strict=True)}
        for name in names:
            context.report(name, "")
            try:
                sources, left_out = _sources(context, FIGURES[name], tuple(videos))
                drawn = FIGURES[name].draw(list(sources))
            except VadprobeError as error:
                say(f"{name} is not drawn: {error}")
                whole = False
                continue
            folder = options.out or outs[next(iter(sources.values()))] / FOLDER
            path = drawn.write(folder, name, FIGURES[name].paper)
            lines = [f"{name}: {drawn.title}", f"  {path.with_suffix('.png')}"]
            say("\n".join([*lines, *(f"  Note: {note}" for note in (*drawn.notes, *left_out))]))
    print(steps_sentence(context))
    return whole


def _sources(
    context: "ExperimentContext", one: "PaperFigure", videos: tuple[str, ...]
) -> "tuple[dict[FigureSource, ExperimentJob], list[str]]":
    """Open the jobs for a figure: those of its method first, then others that add a dataset or a backbone.

    Returns:
        The sources with their jobs, and notes on the jobs that cannot be opened.

    Raises:
        VadprobeError: the reason of the first job, if none can be opened.
    """
    mine = [case for case in context.cases if case.config.method == one.method]
    known = {(case.truth.name, case.backbone) for case in mine}
    others = [case for case in context.cases if (case.truth.name, case.backbone) not in known]
    found: dict[FigureSource, ExperimentJob] = {}
    reasons: list[tuple[str, VadprobeError]] = []
    for case in [*mine, *others]:
        try:
            found[_source(context, case, one, videos)] = case
        except VadprobeError as error:
            reasons.append((case.name, error))
    if not found:
        raise reasons[0][1]
    return found, [f"{name} is left out: {error}" for name, error in reasons]


def _source(
    context: "ExperimentContext", case: "ExperimentJob", one: "PaperFigure", videos: tuple[str, ...]
) -> "FigureSource":
    """Open a job for a figure, with the figure's method."""
    from vadprobe.analyze.configuration import RANKING_RULES
    from vadprobe.analyze.experiments.cases import chosen_by, varied
    from vadprobe.analyze.figures.source import FigureSource

    config = case.config if case.config.method == one.method else varied(case.config, method=one.method)
    if one.ranks and config.rule not in RANKING_RULES:
        config = varied(config, selection=chosen_by({"hiprobe": "dlsp", "headhunt": "rhi"}[one.method]))
    inputs = case.inputs(config)
    texts = _texts(case.texts, inputs.store.spec)
    return FigureSource(case.name, config, inputs, context.cache, context.scheduler, texts, videos, case.texts)


def _texts(path: Path | None, spec: "FeatureSpec") -> Mapping[tuple[str, int, int], str]:
    """Read the backbone's texts about the segments of a store by (video, start, stop); empty if there are none."""
    from vadprobe.analyze.experiments.methods.text_output import read_texts

    try:
        read_texts(path or Path(), spec)
    except VadprobeError:
        return {}
    table = read_parquet(path or Path())
    columns = (table[name].to_pylist() for name in ("video_id", "start_frame", "stop_frame", "text"))
    return {(video, start, stop): text for video, start, stop, text in zip(*columns, strict=True) if text}
