"""The commands show-job, plan, extract, analyze, report and demo."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vadprobe.flows.commands.options import Whole, print_json
from vadprobe.flows.jobs.progress import Bar, ClipProgress, open_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vadprobe.flows.jobs.reports.extraction_summary import ExtractionSummary


def show_job(first: Annotated[str, Parameter(name="JOB")], /, *others: str, workspace: Path | None = None) -> int:
    """Print a whole job with all its settings, as TOML that loads to the same job.

    A job is a file, or the name of a shipped one, such as hiprobe or papers/headhunt; several are merged, later ones
    winning. After each value stands the file that it comes from.

    Example: vadprobe show-job my-job.toml

    Args:
        first: a job file that ends in .toml, or the name of a shipped job
        others: more of them, to be merged in this order
        workspace: folder where relative paths begin, in place of that of the job
    """
    from vadprobe.flows.jobs.job import checked_job, job_text
    from vadprobe.flows.jobs.job_files.merging import compose

    merged = compose((first, *others), Path())
    print(job_text(checked_job(merged, workspace), merged), end="")
    return 0


def plan(config: Path, /, *, json: bool = False) -> int:
    """Read the headers of the videos, create the stores, and say how much there is to compute.

    Example: vadprobe plan my-job.toml

    Args:
        config: the job file (TOML)
        json: print JSON, for programs
    """
    from vadprobe.flows.jobs.job import load_job
    from vadprobe.flows.jobs.plan_job import plan_job
    from vadprobe.flows.jobs.reports.plan_summary import plan_content, plan_lines

    dataset, found = plan_job(load_job(config), Bar("reading headers", "video", delay=0.5))
    if json:
        print_json(plan_content(dataset, found))
    else:
        print("\n".join(plan_lines(dataset, found)))
    return 0


def extract(
    config: Path,
    /,
    *,
    repair_first: Annotated[bool, Parameter(name="--repair")] = False,
    devices: Annotated[tuple[str, ...], Parameter(consume_multiple=(1, None), metavar="DEVICE")] = (),
    detector: Path | None = None,
    json: bool = False,
) -> int:
    """Compute the features that are missing (stage 1).

    Exit code 3 if some videos or clips cannot be read; all other features are extracted.

    Example: vadprobe extract my-job.toml --devices all

    Args:
        config: the job file (TOML)
        repair_first: first verify, and reset damaged partitions so that they are computed again
        devices: compute on several devices at once, a process for each: cuda:0 cuda:1 ..., or 'all' for every GPU
        detector: a detector's file: compute and keep only what it reads, under its prompt and sampling
        json: print the summary as JSON, for programs
    """
    from vadprobe.flows.jobs.job import load_job
    from vadprobe.flows.jobs.plan_job import finished
    from vadprobe.store.errors import VadprobeError

    job = load_job(config)
    is_plain = not (repair_first or devices or detector)
    if is_plain and (summary := finished(job, Bar("reading headers", "video", delay=0.5))):
        return _told(summary, [], json)
    from vadprobe.flows.commands.verify import repair
    from vadprobe.flows.jobs.devices.processes import devices_of, extract_on
    from vadprobe.flows.jobs.extract_job import extract_prepared, n_clips, prepare, with_detector

    names = devices_of(devices)
    if detector is not None:
        if names:
            raise VadprobeError(
                "--detector cannot be combined with --devices; set 'detector' in the job's [[sampling]] instead."
            )
        job = with_detector(job, detector)
    if repair_first:
        repair(job.stores)
    extractor = prepare(job, Bar("reading headers", "video"))
    with open_bar("extracting", "clip", n_clips(extractor, extractor.pending())) as bar:
        progress = ClipProgress(bar, extractor.timings.busy)
        if names:
            summary, timings = extract_on(job, extractor, names, progress.done)
        else:
            summary = extract_prepared(extractor, progress.done)
            timings = [extractor.timings.sentence()]
    return _told(summary, timings, json)


def _told(summary: "ExtractionSummary", timings: "Sequence[str]", json: bool) -> int:
    """Print what an extraction has done, and return the exit code."""
    if json:
        print_json({**asdict(summary), "timings": [*filter(None, timings)]})
    else:
        print("\n".join(filter(None, [*timings, *summary.lines()])))
    return 0 if summary.is_whole else 3


def analyze(config: Path, /, *, json: bool = False) -> int:
    """Select, fit, score and report from the stores alone (stage 2).

    Example: vadprobe analyze my-job.toml

    Args:
        config: the job file (TOML)
        json: print the result as JSON, for programs
    """
    from vadprobe.flows.jobs.analyze_job import analyze as analyze_job
    from vadprobe.flows.jobs.job import load_job

    outcome = analyze_job(load_job(config))
    if json:
        computed = {"computed": list(outcome.computed), "report": str(outcome.report)}
        print_json(outcome.result.to_json() | computed)
        return 0
    print(outcome.table())
    print(outcome.steps())
    print(f"Scores and events: {outcome.results.parent}")
    print(f"Report: {outcome.report}")
    return 0


def report(
    first: Annotated[Path, Parameter(name="CONFIG")],
    /,
    *others: Path,
    out: Path | None = None,
    thumbnails: bool = False,
) -> int:
    """Write one page from finished analyses, with its tables as CSV files in a folder beside it.

    Exit code 3 if a video has no film strip.

    Example: vadprobe report hiprobe.toml headhunt.toml --out both.html --thumbnails

    Args:
        first: job file whose analysis is finished
        others: more of them
        out: the HTML file to write; by default report.html of the first analysis
        thumbnails: first make a film strip of every test video from its file, for this page and later ones
    """
    from vadprobe.flows.jobs.analyze_job import combine, open_analysis
    from vadprobe.flows.jobs.job import load_job

    jobs = [load_job(path) for path in (first, *others)]
    missing = []
    if thumbnails:
        from vadprobe.flows.jobs.reports.film_strips import write_film_strips

        for job in jobs:
            missing += write_film_strips(job, open_analysis(job), Bar("film strips", "video"))
    print("\n".join([*missing, f"Report: {combine(jobs, out or jobs[0].out / 'report.html')}"]))
    return 3 if missing else 0


def demo(
    *,
    out: Path = Path("demo-out"),
    seed: Whole = 0,
    backbone: Path | None = None,
    no_prefect: bool = False,
    tables: bool = False,
) -> int:
    """Run both methods on a generated world, and compare them with all that is simpler.

    The backbone is a small captioner that is shipped. It was pre-trained on drawings of the same program, without
    labels and without these videos. But its captions name six of the ten kinds that the set calls anomalous; it never
    saw the other four. The numbers say nothing about any real camera. On videos that were not drawn by vadprobe its
    features, scores and texts are nonsense, and every result there is stamped so.

    Example: vadprobe demo --out demo-out

    Args:
        out: the folder of everything that is made
        seed: seed of the videos
        backbone: a checkpoint of make-demo-backbone in place of the shipped one
        no_prefect: run the steps plainly, without an embedded Prefect
        tables: then measure every table of both papers, on a second backbone and more sampling rates too
    """
    from vadprobe.flows.commands.setup.demo import run_demo

    return run_demo(out, seed, with_prefect=not no_prefect, with_tables=tables, backbone=backbone)
