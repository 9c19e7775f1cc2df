"""Command line options that describe a dataset, and the ``[dataset]`` section they make."""

import argparse
from pathlib import Path

from pydantic import ValidationError

from vadprobe.flows.job import load_job
from vadprobe.store.annotations.conventions import CONVENTIONS, DEFAULT_CONVENTION
from vadprobe.store.configuration import DatasetConfig, explain
from vadprobe.store.errors import VadprobeError

FORMATS = ("ucf-crime", "xd-violence", "msad", "hivau", "masks", "manifest", "folder")


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
        default=DEFAULT_CONVENTION,
        help=f"what 's e' in a text annotation means; default: {DEFAULT_CONVENTION}",
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
        if options.format or options.annotations:
            raise VadprobeError("--config names a dataset already; leave out --format and --annotations.")
        job = load_job(options.config)
        changed = {"intervals": options.intervals} if options.intervals != DEFAULT_CONVENTION else {}
        return job.config.dataset.model_copy(update=changed), job.workspace
    if options.format is None:
        raise VadprobeError(
            f"no dataset is named; give --format ({', '.join(FORMATS)}) with --annotations, or --config with a "
            "job file."
        )
    if options.format != "folder" and options.annotations is None:
        raise VadprobeError(f"--format {options.format} needs --annotations, the file or the folder of the annotation.")
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


def _text(value: str | Path) -> str:
    return str(value.absolute()) if isinstance(value, Path) else value
