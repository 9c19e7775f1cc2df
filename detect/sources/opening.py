"""Sources from arguments of the command line: a file, a folder, a URL, or `-` for standard input."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vadprobe.detect.sources.byte_readers import GrowingFile, PipeReader
from vadprobe.detect.sources.files import FileSource
from vadprobe.detect.sources.folders import WatchedFolder, files_of, source_of
from vadprobe.detect.sources.frames import FrameSource
from vadprobe.detect.sources.live import LiveSource
from vadprobe.detect.sources.masking import is_url, masked, name_of_url
from vadprobe.detect.sources.options import SourceOptions
from vadprobe.store.errors import VadprobeError, near_file

STANDARD_INPUT = "-"
ENDS = ("http", "https", "ftp", "file")
"""Schemes whose streams can have an end; a stream of any other scheme ends only by breaking."""


def open_source(argument: str, options: SourceOptions | None = None) -> FrameSource:
    """Return the source of one video file, URL, or `-`.

    A video file is opened at once, a stream when its frames are asked for.

    Raises:
        VadprobeError: if there is no such file, or it is a folder.
        SourceError: if the file is no video.
    """
    options = options or SourceOptions()
    if argument == STANDARD_INPUT:
        return _standard_input(options)
    if is_url(argument):
        return _url(argument, options)
    path = Path(argument)
    if path.is_dir():
        raise VadprobeError(f"{argument!r} must be a video file, it is a folder; pass it where folders are taken.")
    if not path.exists():
        raise _no_file(argument)
    return _growing(path, options) if options.follow else FileSource(path, None, options.decode_seconds)


def open_sources(arguments: Sequence[str], options: SourceOptions | None = None) -> Iterator[FrameSource]:
    """Check all arguments, and return an iterator that opens one source after another.

    The files of a folder come in the order of their names, an unreadable one as a source that breaks off at once. With
    `watch` the last argument must be a folder; its new files follow as they come.

    Raises:
        VadprobeError: if an argument is no file, folder, URL or `-`, or a folder holds no video.
    """
    options = options or SourceOptions()
    for number, argument in enumerate(arguments):
        is_last = number == len(arguments) - 1
        path = Path(argument)
        if argument == STANDARD_INPUT:
            _check_standard_input()
        if argument == STANDARD_INPUT or is_url(argument):
            continue
        if not path.exists():
            raise _no_file(argument)
        if path.is_dir() and options.watch and not is_last:
            raise VadprobeError("a folder that is watched must be the last argument: watching it may never end.")
        if path.is_dir() and not options.watch and not files_of(path):
            raise VadprobeError(f"the folder {argument!r} holds no video; watch it (--watch) if videos will be added.")
    if options.watch and not (arguments and Path(arguments[-1]).is_dir()):
        raise VadprobeError("watching (--watch) needs a folder as the last argument.")
    return (source for argument in arguments for source in _sources_of(argument, options))


def _no_file(argument: str) -> VadprobeError:
    return VadprobeError(
        f"a video must be a file, a folder, a URL or '-', got {argument!r}, which does not exist"
        f"{near_file(Path(argument))}"
    )


def _sources_of(argument: str, options: SourceOptions) -> Iterable[FrameSource]:
    path = Path(argument)
    if argument == STANDARD_INPUT or is_url(argument) or not path.is_dir():
        return [open_source(argument, options)]
    if options.watch:
        return WatchedFolder(path, options)
    return (source_of(file, path, options) for file in files_of(path))


def _url(url: str, options: SourceOptions) -> LiveSource:
    endless = url.partition(":")[0].lower() not in ENDS if options.endless is None else options.endless
    return LiveSource(
        name_of_url(url),
        masked(url),
        lambda _: url,
        options,
        reconnects=True,
        endless=endless,
        drops=options.drop,
    )


def _standard_input(options: SourceOptions) -> LiveSource:
    _check_standard_input()
    return LiveSource(
        "stdin",
        "standard input",
        lambda is_closed: PipeReader(sys.stdin.fileno(), options.timeout_seconds, is_closed),
        options,
        reconnects=False,
        endless=False,
        drops=bool(options.drop),
    )


def _check_standard_input() -> None:
    if sys.stdin is None or sys.stdin.closed:  # None: closed by whoever started the process
        raise VadprobeError("'-' reads standard input, which is closed; pipe a video into it, or name a file.")


def _growing(path: Path, options: SourceOptions) -> LiveSource:
    return LiveSource(
        path.stem,
        path.name,
        lambda is_closed: GrowingFile(path, options.idle_seconds, is_closed),
        options,
        reconnects=False,
        endless=False,
        drops=bool(options.drop),
    )
