"""Options that name places, and parts of a store: videos, layers, heads."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from vadprobe.flows.jobs.job import load_job
from vadprobe.store.catalog.finding import stores_below
from vadprobe.store.datasets.annotations.conventions import CONVENTIONS, DEFAULT_CONVENTION
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import is_remote, location
from vadprobe.store.format.layout import records_of
from vadprobe.store.settings import explain
from vadprobe.store.verification.verify import is_store


def stores_of(target: Path) -> list[Path]:
    """The stores that a job file, a store's path, or a folder stands for.

    A store that lost its metadata or its whole group is among them.

    Raises:
        VadprobeError: if there is nothing of that name, or no store below a folder.
    """
    if is_remote(target):
        return [target] if is_store(target) else stores_below(target)
    if target.is_file():
        return list(load_job(target).stores)
    if not target.exists() and not records_of(target).is_dir():
        raise VadprobeError(f"{target} does not exist; a job file, a store or a folder with stores is wanted.")
    if not target.exists() or is_store(target):
        return [target]
    return stores_below(target)


def place(text: str) -> Path:
    """A folder or URL on the command line; what is wrong with it becomes the parser's message."""
    try:
        return location(text)
    except VadprobeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def video_names(given: str | None) -> tuple[str, ...] | None:
    """Videos: names, separated by commas, or ``@FILE`` with one per line."""
    if given is None:
        return None
    if not given.startswith("@"):
        return tuple(word_list(given))
    path = Path(given[1:])
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VadprobeError(
            f"--videos: {path} cannot be read ({error}); a text file with one name per line is wanted."
        ) from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise VadprobeError(f"--videos: {path} names no video.")
    return names


def head_list(given: str | None) -> tuple[tuple[int, int], ...] | None:
    """Heads: ``block:head,block:head``."""
    if given is None:
        return None
    heads = []
    for word in word_list(given):
        block, separator, head = word.partition(":")
        if not (separator and block.isdecimal() and head.isdecimal()):
            raise VadprobeError(f"--heads has {word!r}; block:head is wanted, for example 14:3,20:7.")
        heads.append((int(block), int(head)))
    return tuple(heads)


def number_list(name: str, given: str | None) -> tuple[int, ...] | None:
    """Whole numbers from 0, separated by commas; ``name`` is the option, for the message."""
    if given is None:
        return None
    for word in word_list(given):
        if not word.isdecimal():
            raise VadprobeError(f"{name} has {word!r}; whole numbers from 0, separated by commas, are wanted.")
    return tuple(int(word) for word in word_list(given))


def word_list(given: str) -> Sequence[str]:
    """Words, separated by commas."""
    return [word.strip() for word in given.split(",") if word.strip()]


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
