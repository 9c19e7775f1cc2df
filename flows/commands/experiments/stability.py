"""The commands stability and probing: how often a choice recurs, and a probe of every single layer and head."""

from pathlib import Path
from typing import Literal

from vadprobe.flows.commands.experiments.options import ExperimentOptions
from vadprobe.flows.commands.options import Positive, Whole
from vadprobe.flows.jobs.experiments.context import open_context, steps_sentence
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.files.atomic_files import write_bytes, write_json


def stability(config: Path, /, *, draws: Positive = 5, options: ExperimentOptions = ExperimentOptions()) -> int:
    """Measure how often each layer or head is chosen over calibration draws and prompts.

    Example: vadprobe stability my-job.toml

    Args:
        config: the job file (TOML)
        draws: calibration draws
    """
    from vadprobe.analyze.experiments.stability_report import stability_report
    from vadprobe.analyze.figures.choices import frequency_map

    job = load_job(config)
    folder = options.out or job.out / "stability"
    with open_context([job], draws, options.fraction, "rankings", len(job.prompts) + 1) as context:
        report = stability_report(context, context.cases[0])
    notes = context.cases[0].notes
    print("\n".join([*report.lines(), *(f"Note: {note}" for note in notes)]))
    write_json(folder / "stability.json", {**report.to_json(), "notes": list(notes)})
    frequencies = {key: one.frequency for key, one in report.found.items() if one is not None}
    if frequencies:
        write_bytes(folder / "stability.png", frequency_map(frequencies))
    print(f"{steps_sentence(context)}\nStability: {folder / 'stability.json'}")
    return 0


def probing(
    config: Path,
    /,
    *,
    folds: Whole = 5,
    probe: Literal["ridge", "logistic"] = "ridge",
    options: ExperimentOptions = ExperimentOptions(),
) -> int:
    """Probe every layer and head by itself, cross-validated by video.

    Example: vadprobe probing my-job.toml

    Args:
        config: the job file (TOML)
        folds: folds of videos
        probe: the probe that is fitted
    """
    from vadprobe.analyze.experiments.probing_report import probing_report
    from vadprobe.analyze.figures.choices import auc_map

    job = load_job(config)
    folder = options.out or job.out / "probing"
    with open_context([job], 1, options.fraction, "prompts", len(job.prompts)) as context:
        report = probing_report(context, context.cases[0], folds, probe)
    notes = context.cases[0].notes
    print("\n".join([*report.lines(), *(f"Note: {note}" for note in notes)]))
    write_json(folder / "probing.json", {**report.to_json(), "notes": list(notes)})
    write_bytes(folder / "probing.png", auc_map(report.layers, report.heads))
    print(f"{steps_sentence(context)}\nProbing: {folder / 'probing.json'}")
    return 0
