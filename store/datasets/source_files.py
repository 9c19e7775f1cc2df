"""Search for the files of a dataset: its annotation, split lists, frame counts and videos."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vadprobe.store.datasets.annotations.known_sets import KNOWN_SETS
from vadprobe.store.datasets.annotations.names import VIDEO_SUFFIXES, video_name
from vadprobe.store.datasets.annotations.rows.rows import RowError, check_visible
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.joining import Finding
from vadprobe.store.datasets.video import Split
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import visible

_COUNT_NAMES = ("*frame_counts*.csv", "*frame_count*.csv")


@dataclass(frozen=True)
class SourceFiles:
    """Files that describe a dataset: given in its section, or found by their usual names."""

    annotations: tuple[Path, ...] = ()
    lists: Mapping[Split, tuple[Path, ...]] = field(default_factory=dict)
    frame_counts: Path | None = None


def find_files(config: DatasetConfig, workspace: Path) -> SourceFiles:
    """Find the files of a dataset; a known set's are looked up in its folder.

    Raises:
        VadprobeError: if a file that is given does not exist, or a known set's folder does not hold its annotation.
    """
    counts = _given(config.frame_counts, "frame_counts", workspace)
    if config.format == "folder":
        return SourceFiles(frame_counts=counts)
    if config.manifest is not None:
        return SourceFiles((workspace / config.manifest,), frame_counts=counts)
    assert config.source is not None
    source = workspace / config.source
    if not exists(source):
        raise VadprobeError(
            f"there is no annotation file or folder {source}; check 'source' in [dataset], or --annotations."
        )
    folder = source if source.is_dir() else source.parent
    known = KNOWN_SETS[config.format]
    train = _given(config.train_list, "train_list", workspace)
    test = _given(config.test_list, "test_list", workspace)
    lists: dict[Split, tuple[Path, ...]] = {
        "train": (train,) if train else _lists(folder, known.train_lists, known.has_lists_in_parts),
        "validation": _lists(folder, known.validation_lists, known.has_lists_in_parts),
        "test": (test,) if test else _lists(folder, known.test_lists, known.has_lists_in_parts),
    }
    return SourceFiles(
        _annotation_files(config, source),
        {split: paths for split, paths in lists.items() if paths},
        counts or _first(folder, _COUNT_NAMES),
    )


def scan_videos(folder: Path, names: set[str]) -> tuple[dict[str, str], tuple[Finding, ...]]:
    """Return the relative paths of the video files below a folder, by video name, and findings about other files.

    A file is a video if it has a video extension, or if its whole name is one of `names`. Hidden files are ignored,
    such as the "._" companions that some systems leave beside a copy. Of two files with one name the first in path
    order is used. Names that are not UTF-8, or have invisible characters, are left out, since they cannot be written to
    a table.
    """
    found: dict[str, str] = {}
    findings = []
    for path in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()):
        file = path.rsplit("/", 1)[-1]
        is_video = f".{file.rpartition('.')[2].lower()}" in VIDEO_SUFFIXES or file in names
        if file.startswith(".") or not is_video:
            continue
        name = video_name(file)
        try:
            check_visible("a file name", path)
        except RowError as error:
            said = f"expected {error.expected}; rename the file or folder"
            findings.append(Finding("unreadable file names", said, True, (visible(name),)))
            continue
        if found.setdefault(name, path) != path:
            message = f"scores are joined by name, so one of them has to be renamed, such as {found[name]} and {path}"
            findings.append(Finding("two files of one name", message, True, (name,)))
    return found, tuple(findings)


def exists(path: Path, kind: Callable[[Path], bool] = Path.exists) -> bool:
    """Return whether a path exists and is of a kind; False for a path that may not be examined."""
    try:
        return kind(path)
    except OSError:
        return False


def _given(value: str | None, key: str, workspace: Path) -> Path | None:
    if value is None:
        return None
    path = workspace / value
    if not exists(path):
        raise VadprobeError(f"there is no file {path}; check {key!r} in [dataset], or --{key.replace('_', '-')}.")
    return path


def _annotation_files(config: DatasetConfig, source: Path) -> tuple[Path, ...]:
    known = KNOWN_SETS[config.format]
    if source.is_file() or not known.annotations:
        return (source,)
    found = _matching(source, known.annotations)
    if not found:
        raise VadprobeError(
            f"the folder {source} holds no annotation of format {config.format!r} ({' or '.join(known.annotations)}); "
            "name the file itself, or check the format."
        )
    if len(found) > 1 and not known.is_in_parts:
        names = ", ".join(path.name for path in found)
        raise VadprobeError(f"the folder {source} holds several annotations ({names}); name the one that counts.")
    return tuple(found)


def _lists(folder: Path, patterns: Sequence[str], are_parts: bool) -> tuple[Path, ...]:
    """Return the list files of a split: those of the first pattern that fits any, all if `are_parts`, else one."""
    found = _matching(folder, patterns)
    return tuple(found if are_parts else found[:1])


def _first(folder: Path, patterns: Sequence[str]) -> Path | None:
    return next(iter(_matching(folder, patterns)), None)


def _matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the files of the first pattern that fits any, sorted."""
    found = (sorted(path for path in folder.glob(pattern) if path.is_file()) for pattern in patterns)
    return next((files for files in found if files), [])
