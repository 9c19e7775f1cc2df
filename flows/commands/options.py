"""Types of options that several commands have: places, numbers, heads, names, and the dataset.

At their top, the modules of commands import only what signatures need. All else is imported when the work begins, so
that the help of a command appears at once.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_args

from cyclopts import Group, Parameter, Token
from pydantic import SkipValidation, ValidationError

from vadprobe.store.datasets.annotations.conventions import TEXT_FORMATS, IntervalConvention
from vadprobe.store.datasets.configuration import DatasetConfig, DatasetFormat
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath, is_remote, location
from vadprobe.store.settings import explain


def _words(tokens: Sequence[Token]) -> list[str]:
    return [word.strip() for token in tokens for word in token.value.split(",") if word.strip()]


def _place(_: Any, tokens: Sequence[Token]) -> StorePath:
    return location(tokens[-1].value)


def _names(_: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(_words(tokens))


def _numbers(_: Any, tokens: Sequence[Token]) -> tuple[int, ...]:
    for word in _words(tokens):
        if not word.isdecimal():
            option = tokens[-1].keyword
            raise VadprobeError(f"{option} must be whole numbers from 0, separated by commas, got {word!r}.")
    return tuple(map(int, _words(tokens)))


def _whole(_: Any, tokens: Sequence[Token], least: int = 0) -> int:
    word = tokens[-1].value  # the library's own conversion rounds 1.5 and reads 0x10
    if not word.isdecimal() or int(word) < least:
        raise VadprobeError(f"{tokens[-1].keyword} must be a whole number from {least}, got {word}.")
    return int(word)


def _positive(hint: Any, tokens: Sequence[Token]) -> int:
    return _whole(hint, tokens, 1)


def _heads(_: Any, tokens: Sequence[Token]) -> tuple[tuple[int, int], ...]:
    heads = []
    for word in _words(tokens):
        block, separator, head = word.partition(":")
        if not (separator and block.isdecimal() and head.isdecimal()):
            raise VadprobeError(
                f"{tokens[-1].keyword} must be heads as block:head, for example 14:3,20:7, got {word!r}."
            )
        heads.append((int(block), int(head)))
    return tuple(heads)


def _videos(_: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    given = tokens[-1].value
    if not given.startswith("@"):
        return tuple(_words(tokens))
    path = Path(given[1:])
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VadprobeError(
            f"--videos: {path} cannot be read ({error}); name a text file with one video per line."
        ) from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise VadprobeError(f"--videos: {path} names no video; write one name per line.")
    return names


def _json_file(_: Any, tokens: Sequence[Token]) -> Path:
    given = tokens[-1].value
    if given.startswith("-") and given != "-":
        raise VadprobeError(f"{tokens[-1].keyword} must be followed by a file, or by '-', got {given}.")
    return Path(given)


def print_json(content: Any) -> None:
    """Print a value as JSON, for programs."""
    print(json.dumps(content, indent=1, sort_keys=True, allow_nan=False))


def _list(converter: Callable[..., Any], metavar: str) -> Parameter:
    return Parameter(converter=converter, n_tokens=1, metavar=metavar)


Whole = Annotated[int, Parameter(converter=_whole, n_tokens=1)]
"""Whole number from 0."""
Positive = Annotated[int, Parameter(converter=_positive, n_tokens=1)]
"""Whole number from 1."""
OptionalNumber = Annotated[int | None, Parameter(converter=_whole, n_tokens=1)]
OptionalPositive = Annotated[int | None, Parameter(converter=_positive, n_tokens=1)]
"""Whole number from 1, or nothing."""
OptionalWhole = Annotated[int | None, Parameter(converter=_whole, n_tokens=1)]
"""Whole number from 0, or nothing."""
Place = Annotated[StorePath, SkipValidation, Parameter(converter=_place)]
"""Folder of this machine, or a URL, which only behaves like a path and so is not validated as one."""
JsonFile = Annotated[Path | None, Parameter(converter=_json_file, allow_leading_hyphen=True, metavar="FILE")]
"""File for JSON; "-" stands for standard output, and then nothing else is printed there."""
Names = Annotated[tuple[str, ...] | None, _list(_names, "NAMES")]
"""Words, separated by commas."""
Numbers = Annotated[tuple[int, ...] | None, _list(_numbers, "N,N")]
"""Whole numbers from 0, separated by commas."""
Heads = Annotated[tuple[tuple[int, int], ...] | None, _list(_heads, "B:H,B:H")]
"""Heads as block:head, separated by commas."""
VideoNames = Annotated[tuple[str, ...] | None, _list(_videos, "NAMES")]
"""Names of videos, separated by commas, or @FILE with one name per line."""


def stores_of(target: StorePath) -> list[StorePath]:
    """Return the stores that a job file, a store's path, or a folder stands for.

    A store that lost its metadata or its whole Zarr group is among them.

    Raises:
        VadprobeError: if nothing has that name, or a folder has no store below it.
    """
    from vadprobe.flows.jobs.job import load_job
    from vadprobe.store.catalog.finding import stores_below
    from vadprobe.store.format.layout import records_of
    from vadprobe.store.verification.verify import is_store

    if is_remote(target):
        return [target] if is_store(target) else stores_below(target)
    if target.is_file():
        return list(load_job(target).stores)
    if not target.exists() and not records_of(target).is_dir():
        raise VadprobeError(f"{target} does not exist; name a job file, a store, or a folder with stores.")
    if not target.exists() or is_store(target):
        return [target]
    return stores_below(target)


@Parameter(name="*", group=Group("Dataset", sort_key=1))
@dataclass(frozen=True)
class DatasetOptions:
    """Options that name a dataset: a job file, or a format with its annotation."""

    config: Path | None = None
    """a job file whose [dataset] is used"""
    format: DatasetFormat | None = None
    """what the annotation is like"""
    annotations: Path | None = None
    """the annotation file, or its folder with split lists and frame counts; for 'manifest' a table or a folder"""
    videos: Path | None = None
    """folder of the video files, with its subfolders"""
    intervals: IntervalConvention | None = None
    """what 's e' in a text annotation (ucf-crime, xd-violence, msad) means; default: zero-based-half-open"""
    frame_counts: Path | None = None
    """CSV table of video,frames"""
    train_list: Path | None = None
    """names of the training videos, one per line"""
    test_list: Path | None = None
    """names of the test videos, one per line"""
    name: str | None = None
    """name of the dataset; default: the format"""

    def section(self) -> tuple[DatasetConfig, Path]:
        """Return the [dataset] section that the options describe, and the folder where its paths begin.

        Raises:
            VadprobeError: if the options contradict each other or lack something.
        """
        if self.config is not None:
            return self._of_job(self.config)
        if self.format is None:
            raise VadprobeError(
                f"no dataset is named; give --format ({', '.join(get_args(DatasetFormat))}) with --annotations, or "
                "--config with a job file."
            )
        if self.format != "folder" and self.annotations is None:
            raise VadprobeError(
                f"--format {self.format} needs --annotations, the file or the folder of the annotation."
            )
        if self.format == "folder" and self.annotations is not None:
            raise VadprobeError(
                "--format folder takes videos without an annotation, but --annotations names one; leave "
                "--annotations out, or give the format of that annotation."
            )
        self._check_intervals(self.format)
        names = {"annotations": "manifest" if self.format == "manifest" else "source"}
        given = {names.get(name, name): _absolute(value) for name, value in self._given().items()}
        try:
            return DatasetConfig.model_validate({"name": self.format, **given}), Path()
        except ValidationError as error:
            raise explain(Path("the dataset options"), error, DatasetConfig) from error

    def _of_job(self, path: Path) -> tuple[DatasetConfig, Path]:
        from vadprobe.flows.jobs.job import load_job

        surplus = [f"--{name.replace('_', '-')}" for name in self._given() if name not in ("config", "intervals")]
        if surplus:
            raise VadprobeError(f"--config names a dataset already; leave out {' and '.join(surplus)}.")
        job = load_job(path)
        config = job.config.dataset
        self._check_intervals(config.format)
        changed = {"intervals": self.intervals} if self.intervals is not None else {}
        return config.model_copy(update=changed), job.workspace

    def _given(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def _check_intervals(self, format_name: str) -> None:
        if self.intervals is not None and format_name not in TEXT_FORMATS:
            raise VadprobeError(
                f"--intervals {self.intervals} says how the 's e' of a text annotation ({', '.join(TEXT_FORMATS)}) is "
                f"read, and format {format_name!r} has none: its frames are counted from 0, half-open; leave "
                "--intervals out."
            )


def _absolute(value: str | Path) -> str:
    return str(value.absolute()) if isinstance(value, Path) else value
