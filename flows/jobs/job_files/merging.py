"""A job file merged with the files that it extends; of every key it is known which file says it."""

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
"""Path of a key: the names of the tables that it is in, and its own."""

_SUFFIX = ".toml"


@dataclass(frozen=True)
class JobFile:
    """One file of a job: the `name` by which it was asked for, and its own content without `extends`."""

    name: str
    path: Path
    content: dict[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class MergedJob:
    """Content of a job file and of all that it extends.

    Attributes:
        path: the job file.
        files: those that were merged, later ones winning; the job file is the last.
        content: tables merged key by key; of arrays, and of arrays of tables, the last one whole.
        origins: the file that says a value, by the path of its key.
    """

    path: Path
    files: tuple[JobFile, ...]
    content: dict[str, Any]
    origins: Mapping[Place, JobFile]

    def files_of(self, place: Place) -> tuple[JobFile, ...]:
        """Return the file that says a value, or all files that say something in a table; none for what is unsaid."""
        for stop in range(len(place), 0, -1):
            if place[:stop] in self.origins:
                return (self.origins[place[:stop]],)
        below = [file for key, file in self.origins.items() if key[: len(place)] == place]
        return tuple(file for file in self.files if file in below)

    def named(self, place: Place) -> str:
        """Name the files of a place as messages begin; the job file where no file says anything there."""
        found = [file.path for file in self.files_of(place)]
        return ", ".join(map(str, found or [self.path]))

    def explain(self, error: ValidationError, model: type[BaseModel]) -> VadprobeError:
        """Turn pydantic's report into one sentence per mistake, behind the file that the key came from."""
        sentences: dict[str, list[str]] = {}
        for place, sentence, is_said in mistakes(error, model):
            name = self.named(place) if is_said else str(self.path)
            sentences.setdefault(name, []).append(sentence)
        return VadprobeError(" ".join(f"{name}: {' '.join(texts)}" for name, texts in sentences.items()))


def read_merged(path: Path) -> MergedJob:
    """Read a job file and all that it extends.

    Raises:
        VadprobeError: if a file is missing or not TOML, or a file extends itself in the end.
    """
    return _merged(path, _chain(path.name, path, ()))


def compose(names: Sequence[str], folder: Path) -> MergedJob:
    """Merge job files as if one in `folder` extended them. Errors as of `read_merged`."""
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
        asking: beginning of the message, naming the file that asks for it.

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
    """Yield a file behind all that it extends, from the one that is overridden by all others on."""
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
    """Merge files in order; one that occurs several times counts at its first place, so it overrides nothing twice."""
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
    """Lay a table over another one, in place, and note the origin of every value."""
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
