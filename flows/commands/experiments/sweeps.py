"""The commands sweep and agreement: results under other settings, and how much selections have in common."""

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vadprobe.flows.commands.experiments.options import ExperimentOptions
from vadprobe.flows.commands.options import Names, Positive
from vadprobe.flows.jobs.experiments.context import cases_of, open_context, sources_of, steps_sentence
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_bytes, write_json
from vadprobe.store.files.parquet import write_parquet

LIMIT = 400
"""Default limit of the cells of a sweep; more must be asked for."""


def sweep(
    *jobs: Path,
    over: Annotated[tuple[str, ...], Parameter(metavar="KEY=V1,V2")] = (),
    product: bool = False,
    show_keys: Annotated[bool, Parameter(name="--list")] = False,
    metrics: Names = ("auc", "ap_step", "f1"),
    limit: Positive = LIMIT,
    draws: Positive = 5,
    options: ExperimentOptions = ExperimentOptions(),
) -> int:
    """Measure jobs under other values of a few settings, each over several calibration draws, and draw the curves.

    Each key is moved by itself, with everything else as the job has it; --product measures every combination. What
    cells have in common is computed once, and a second run computes nothing. All cells are measured on the test videos,
    so the best of them is no result.

    Example: vadprobe sweep my-job.toml --over top-heads=1,3,5

    Args:
        jobs: job files (TOML); a key is swept only in jobs that use it
        over: a key and its values, once for each key, such as top-heads=1,3,5, lambda=0..2..0.25, layer=all or
            prompts=subsets; see --list
        product: measure every combination of the values
        show_keys: say which keys there are
        metrics: metrics that are printed and drawn; the table in Parquet has all
        limit: most cells; a larger sweep is refused
        draws: calibration draws
    """
    from vadprobe.analyze.experiments.sweeps.axes import plan_sweep, read_axes
    from vadprobe.analyze.experiments.sweeps.keys import KEYS
    from vadprobe.analyze.experiments.sweeps.measured import measure_sweep
    from vadprobe.analyze.experiments.sweeps.plots import sweep_pictures
    from vadprobe.analyze.experiments.sweeps.summary import (
        check_metrics,
        summary_json,
        summary_lines,
        summary_markdown,
    )
    from vadprobe.analyze.experiments.sweeps.tidy import tidy_table

    if show_keys:
        print("\n".join(f"{key.name:13} {key.about}" for key in KEYS.values()))
        return 0
    if not jobs:
        raise VadprobeError("no job is named; name at least one, for example configs/headhunt.toml.")
    axes, wanted = read_axes(over), check_metrics(metrics or ())
    loaded, cases = cases_of(jobs, options.fraction)
    plan = plan_sweep(cases, axes, is_product=product, limit=limit)
    with open_context(loaded, draws, options.fraction, "cells", len(plan.cells), cases) as context:
        found = measure_sweep(context, plan)
    print("\n".join(summary_lines(found, wanted)))
    folder = options.out or loaded[0].out / "sweep"
    write_parquet(tidy_table(found), folder / "sweep.parquet")
    sources = sources_of(loaded)
    swept = " ".join(f"--over {shlex.quote(axis)}" for axis in over)
    words = ["vadprobe sweep", *(source["job"] for source in sources), swept, f"--draws {draws}"]
    made_by = " ".join([*words, "--product"] if product else words)
    summary = {**summary_json(found, wanted), "sources": sources, "made_by": made_by}
    write_json(folder / "sweep.json", summary)
    write_bytes(folder / "sweep.md", "\n".join(summary_markdown(found, wanted)).encode())
    for kind, picture in sweep_pictures(found, wanted).items():
        write_bytes(folder / f"sweep.{kind}", picture)
    print(f"{steps_sentence(context)}\nSweep: {folder / 'sweep.md'}")
    return 0


def agreement(*jobs: Path, draws: Positive = 5, options: ExperimentOptions = ExperimentOptions()) -> int:
    """Compare the layers or heads that jobs choose: between draws, prompts, conventions, datasets and backbones.

    What two choices share is printed beside what two random choices of the same size would share.

    Example: vadprobe agreement my-job.toml other.toml

    Args:
        jobs: job files (TOML)
        draws: calibration draws
    """
    from vadprobe.analyze.experiments.agreement.pairs import measure_agreement
    from vadprobe.analyze.experiments.agreement.text import agreement_lines, agreement_markdown

    if not jobs:
        raise VadprobeError("no job is named; name at least one, for example configs/headhunt.toml.")
    loaded, cases = cases_of(jobs, options.fraction)
    total = sum(len(case.prompts) + 2 for case in cases)
    with open_context(loaded, draws, options.fraction, "choices", total, cases) as context:
        found = measure_agreement(context)
    print("\n".join(agreement_lines(found)))
    folder = options.out or loaded[0].out / "agreement"
    write_json(folder / "agreement.json", found.to_json())
    write_bytes(folder / "agreement.md", "\n".join(agreement_markdown(found)).encode())
    print(f"{steps_sentence(context)}\nAgreement: {folder / 'agreement.md'}")
    return 0
