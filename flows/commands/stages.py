"""The commands plan, extract, analyze and report."""

import argparse

from vadprobe.flows.commands.verify import mend
from vadprobe.flows.jobs.job import Job, load_job
from vadprobe.flows.jobs.progress import CountProgress, clip_progress


def _plan(options: argparse.Namespace) -> int:
    from vadprobe.flows.jobs.extract_job import missing_lines, n_clips, prepare

    job = load_job(options.config)
    extractor = prepare(job, CountProgress("probing", "video").report)
    for sampling in extractor.plan.samplings:
        total = sampling.writers[0].n_partitions
        print(
            f"{sampling.sampling.key}: {len(sampling.clips)} clips of {len(sampling.clips.video_ids)} videos, "
            f"{len(sampling.writers)} prompts, {total - len(sampling.pending())} of {total} partitions done, "
            f"{sampling.n_bytes / 1e6:.1f} MB of features before compression"
        )
        contents = sampling.writers[0].contents
        if not contents.is_complete:
            print(f"{sampling.sampling.key}: {contents.describe()}")
    for line in (*extractor.plan.notes, *missing_lines(extractor.dataset.missing)):
        print(line)
    for video, reason in sorted(extractor.plan.unreadable.items()):
        print(f"Video not readable: {video}: {reason}")
    n_bytes = sum(sampling.n_bytes_missing for sampling in extractor.plan.samplings)
    count = sum(sampling.n_objects_missing for sampling in extractor.plan.samplings)
    print(
        f"{n_clips(extractor, extractor.pending())} clips are left to compute; their features will take about "
        f"{n_bytes / 1e6:.1f} MB in {count} files."
    )
    return 0


def _extract(options: argparse.Namespace) -> int:
    from vadprobe.flows.jobs.devices import devices_of, extract_on
    from vadprobe.flows.jobs.extract_job import extract_prepared, n_clips, prepare

    job = load_job(options.config)
    devices = devices_of(options.devices or [])
    if options.repair:
        mend(job.stores)
    extractor = prepare(job, CountProgress("probing", "video").report)
    with clip_progress(n_clips(extractor, extractor.pending()), "extracting", extractor.timings.busy) as progress:
        if devices:
            summary, timings = extract_on(job, extractor, devices, progress.done)
        else:
            summary = extract_prepared(extractor, progress.done)
            timings = [extractor.timings.sentence()]
    print("\n".join(filter(None, [*timings, *summary.lines()])))
    return 0 if summary.is_whole else 3


def _analyze(options: argparse.Namespace) -> int:
    from vadprobe.flows.jobs.analyze_job import analyze

    job = load_job(options.config)
    outcome = analyze(job)
    print(outcome.table())
    print(outcome.steps())
    print(f"Report: {outcome.report}")
    return 0


def _report(options: argparse.Namespace) -> int:
    from vadprobe.flows.jobs.analyze_job import combine

    jobs: list[Job] = [load_job(path) for path in options.config]
    print(f"Report: {combine(jobs, options.out or jobs[0].out / 'report.html')}")
    return 0
