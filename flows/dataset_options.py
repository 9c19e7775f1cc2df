"""Command line options that describe a dataset, and the ``[dataset]`` section they make."""

import argparse
from pathlib import Path

from pydantic import ValidationError

from vadprobe.flows.job import load_job
from vadprobe.store.annotations.conventions import CONVENTIONS, DEFAULT_CONVENTION
from vadprobe.store.configuration import DatasetConfig, explain
from vadprobe.store.errors import VadprobeError

FORMATS = ("ucf-crime", "xd-violence", "msad", "hivau", "masks", "manifest", "folder")
TEXT_FORMATS = FORMATS[:3]
"""Whose annotation is a text of 's e', which may mean several things."""

_WITHOUT_CONFIG = ("format", "annotations", "videos", "frame_counts", "train_list", "test_list", "name")


def add_dataset_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; either a job file or --format with --annotations is wanted."""
    group = parser.add_argument_group("dataset")
    group.add_argument("--config", type=Path, metavar="CONFIG", help="a job file whose [dataset] is used")
    group.add_argument("--format", choices=FORMATS, help="what the annotation is like")
    group.add_argument(
        "--annotations",
        type=Path,
        metavar="PATH",
        help="the annotation file, or the folder that holds it with its split lists and frame counts; for 'manifest' a "
        "CSV, JSON Lines or Parquet table, or a folder written by 'dataset prepare'",
    )
    group.add_argument("--videos", type=Path, metavar="FOLDER", help="the video files, in any folders below")
    group.add_argument(
        "--intervals",
        choices=CONVENTIONS,
        help=f"what 's e' in a text annotation ({', '.join(TEXT_FORMATS)}) means; default: {DEFAULT_CONVENTION}",
    )
    group.add_argument("--frame-counts", type=Path, metavar="CSV", help="table of video,frames")
    group.add_argument("--train-list", type=Path, metavar="FILE", help="names of the training videos, one per line")
    group.add_argument("--test-list", type=Path, metavar="FILE", help="names of the test videos, one per line")
    group.add_argument("--name", help="name of the dataset; default: the format")


def dataset_of(options: argparse.Namespace) -> tuple[DatasetConfig, Path]:
    """The section the options describe, and where its paths begin.

    Raises:
        VadprobeError: if the options contradict each other or lack something.
    """
    if options.config is not None:
        surplus = [f"--{name.replace('_', '-')}" for name in _WITHOUT_CONFIG if getattr(options, name) is not None]
        if surplus:
            raise VadprobeError(f"--config names a dataset already; leave out {' and '.join(surplus)}.")
        job = load_job(options.config)
        config = job.config.dataset
        _check_intervals(options.intervals, config.format)
        changed = {"intervals": options.intervals} if options.intervals is not None else {}
        return config.model_copy(update=changed), job.workspace
    if options.format is None:
        raise VadprobeError(
            f"no dataset is named; give --format ({', '.join(FORMATS)}) with --annotations, or --config with a "
            "job file."
        )
    if options.format != "folder" and options.annotations is None:
        raise VadprobeError(f"--format {options.format} needs --annotations, the file or the folder of the annotation.")
    if options.format == "folder" and options.annotations is not None:
        raise VadprobeError(
            "--format folder is a folder of videos without annotation, and --annotations names one; leave it out, or "
            "name its format."
        )
    _check_intervals(options.intervals, options.format)
    given = {
        "name": options.name or options.format,
        "format": options.format,
        "intervals": options.intervals,
        "manifest" if options.format == "manifest" else "source": options.annotations,
        "videos": options.videos,
        "frame_counts": options.frame_counts,
        "train_list": options.train_list,
        "test_list": options.test_list,
    }
    section = {name: _text(value) for name, value in given.items() if value is not None}
    try:
        return DatasetConfig.model_validate(section), Path()
    except ValidationError as error:
        raise explain(Path("the dataset options"), error, DatasetConfig) from error


def _check_intervals(intervals: str | None, format_name: str) -> None:
    if intervals is not None and format_name not in TEXT_FORMATS:
        raise VadprobeError(
            f"--intervals {intervals} says how the 's e' of a text annotation ({', '.join(TEXT_FORMATS)}) is read, and "
            f"format {format_name!r} has none: its frames are counted from 0, half-open; leave --intervals out."
        )


def _text(value: str | Path) -> str:
    return str(value.absolute()) if isinstance(value, Path) else value
