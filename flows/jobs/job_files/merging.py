"""A job file merged with the files that it extends, with the file from which every key comes."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from vadprobe.store.errors import VadprobeError
from vadprobe.store.settings import mistakes, read_toml

EXTENDS = "extends"
"""Key that names the files a job file extends: one, or a list of which later ones win."""

Place = tuple[int | str, ...]
"""Path of a key: the names, or positions in arrays, of the tables around it, then its own name."""

_SUFFIX = ".toml"


@dataclass(frozen=True)
class JobFile:
    """One file of a job: the `name` under which it was requested, and its content without `extends`."""

    name: str
    path: Path
    content: dict[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class MergedJob:
    """Content of a job file and of all that it extends.

    Attributes:
        path: the job file.
        files: the merged files; later ones win, and the job file is the last.
        content: tables merged key by key; an array, also one of tables, is replaced as a whole by the last file's.
        origins: the file from which a value comes, by the path of its key.
    """

    path: Path
    files: tuple[JobFile, ...]
    content: dict[str, Any]
    origins: Mapping[Place, JobFile]

    def files_of(self, place: Place) -> tuple[JobFile, ...]:
        """Return the file from which a value comes, or all files that set something in a table; () for a default."""
        for stop in range(len(place), 0, -1):
            if place[:stop] in self.origins:
                return (self.origins[place[:stop]],)
        below = [file for key, file in self.origins.items() if key[: len(place)] == place]
        return tuple(file for file in self.files if file in below)

    def named(self, place: Place) -> str:
        """Return the names of the files that set a place, to begin a message with; for a default, the job file's."""
        found = [file.path for file in self.files_of(place)]
        return ", ".join(map(str, found or [self.path]))

    def explain(self, error: ValidationError, model: type[BaseModel]) -> VadprobeError:
        """Return an error with one sentence for each mistake in pydantic's report, after the name of the key's file."""
        sentences: dict[str, list[str]] = {}
        for place, sentence, is_said in mistakes(error, model):
            name = self.named(place) if is_said else str(self.path)
            sentences.setdefault(name, []).append(sentence)
        return VadprobeError(" ".join(f"{name}: {' '.join(texts)}" for name, texts in sentences.items()))


def read_merged(path: Path) -> MergedJob:
    """Read a job file and all that it extends.

    Raises:
        VadprobeError: if a file is missing or not TOML, or extends itself, directly or through others.
    """
    return _merged(path, _chain(path.name, path, ()))


def compose(names: Sequence[str], folder: Path) -> MergedJob:
    """Merge job files as if a file in `folder` extended them. Errors as of `read_merged`."""
    if len(names) == 1:
        file = find(names[0], folder, "")
        return _merged(file, _chain(names[0], file, ()))
    found = [file for name in names for file in _chain(name, find(name, folder, ""), ())]
    return _merged(Path(" + ".join(names)), found)


def find(name: str, folder: Path, asking: str) -> Path:
    """Return the file that a name stands for: a file relative to `folder`, or the name of a shipped job.

    Args:
        name: a path that ends in '.toml', or the name of a shipped job, such as 'papers/headhunt'.
        folder: where relative paths begin.
        asking: beginning of the error's message, which names the file with the reference.

    Raises:
        VadprobeError: if there is no such file.
    """
    if name.endswith(_SUFFIX):
        path = folder / name
        if path.is_file():
            return path
        raise VadprobeError(f"{asking}there is no job file {path}; shipped jobs are named without '{_SUFFIX}'.")
    known = shipped_jobs()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
    raise VadprobeError(
        f"{asking}there is no shipped job {name!r}; {hint} A job file of your own is named with its '{_SUFFIX}'."
    )


def shipped_jobs() -> dict[str, Path]:
    """Return the paths of the shipped job files by name, without the suffix."""
    folder = Path(str(files("vadprobe.configs")))
    found = sorted(folder.rglob(f"*{_SUFFIX}"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}


def _chain(name: str, path: Path, above: tuple[Path, ...]) -> Iterator[JobFile]:
    """Yield a file after all files that it extends, each before those that override it."""
    here = path.resolve()
    if here in above:
        circle = " -> ".join(file.name for file in (*above[above.index(here) :], here))
        raise VadprobeError(f"{above[0]}: a job file cannot extend itself: {circle}; take one of these out.")
    content = read_toml(path)
    for other in _names(path, content.pop(EXTENDS, ())):
        yield from _chain(other, find(other, path.parent, f"{path}: {EXTENDS}: "), (*above, here))
    yield JobFile(name, path, content)


def _names(path: Path, value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return list(names)
    raise VadprobeError(f"{path}: {EXTENDS} must be the name of a job file, or a list of names, got {value!r}.")


def _merged(path: Path, chain: Iterable[JobFile]) -> MergedJob:
    """Merge files in order; a file that occurs several times counts only at its first place."""
    once: dict[Path, JobFile] = {}
    for file in chain:
        once.setdefault(file.path.resolve(), file)
    content: dict[str, Any] = {}
    origins: dict[Place, JobFile] = {}
    for file in once.values():
        _lay(content, file.content, (), file, origins)
    return MergedJob(path, tuple(once.values()), content, origins)


def _lay(
    below: dict[str, Any], above: Mapping[str, Any], place: Place, file: JobFile, origins: dict[Place, JobFile]
) -> None:
    """Merge a table into the table `below`, in place, overriding its values; note the origin of every value."""
    for key, value in above.items():
        here = (*place, key)
        if isinstance(value, dict):
            if not isinstance(below.get(key), dict):
                origins.pop(here, None)
                below[key] = {}
            _lay(below[key], value, here, file, origins)
            continue
        for old in [old for old in origins if old[: len(here)] == here]:
            del origins[old]
        below[key], origins[here] = value, file
