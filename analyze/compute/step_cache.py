"""Cache of the results of steps by the digest of their inputs, so that only changed steps are computed again."""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_bytes
from vadprobe.store.files.digests import digest_json

_PACKAGES = ("vadprobe.analyze", "vadprobe.store")
_LIBRARIES = ("numpy", "scipy", "scikit-learn")
_KEY, _VALUES = "key.json", "values.json"
_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, OSError, EOFError)


@dataclass(frozen=True, eq=False)
class CachedResult:
    """Result of a step: JSON `values`, with None instead of NaN, and `arrays` of numbers by name."""

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class StepRun:
    """One step of a run: its name, the digest of its inputs, and whether it was reused."""

    name: str
    digest: str
    reused: bool


class StepCache:
    """Cache of step results below a folder, one file each, named by the digest of the step's inputs.

    A step's inputs are JSON values; large ones are given as digests. The digest also covers the source code of the
    packages `analyze` and `store` and the versions of the numerical libraries, so a result of other code is never
    reused. Files are written whole or not at all, so any number of processes may share a folder. A damaged file is
    ignored.
    """

    def __init__(self, folder: Path | None) -> None:
        """Open the cache below `folder`; None keeps results in memory only.

        Raises:
            VadprobeError: if the folder is a file.
        """
        if folder is not None and folder.exists() and not folder.is_dir():
            raise VadprobeError(f"steps: {folder} is a file; name a folder for the results of steps, or remove it.")
        self._folder = folder
        self._known: dict[str, CachedResult] = {}
        self.runs: list[StepRun] = []

    @property
    def computed(self) -> list[str]:
        """Names of the steps that were computed rather than reused, in order, with repeats."""
        return [run.name for run in self.runs if not run.reused]

    def result(self, name: str, inputs: Mapping[str, Any], compute: Callable[[], CachedResult]) -> CachedResult:
        """Return the step's kept result, or compute and keep it."""
        return self.results(name, {"": inputs}, lambda _: {"": compute()})[""]

    def results(
        self,
        name: str,
        inputs: Mapping[str, Mapping[str, Any]],
        compute: Callable[[list[str]], Mapping[str, CachedResult]],
    ) -> dict[str, CachedResult]:
        """Return the results of several steps of one name; those that are not kept are computed together.

        Args:
            name: of the step, used as a folder's name.
            inputs: by key, everything that the result depends on, as JSON values.
            compute: called once with the keys that are not kept; returns their results by key.
        """
        digests = {key: digest_json([name, dict(part), _environment()]) for key, part in inputs.items()}
        kept = {key: self._kept(name, digest) for key, digest in digests.items()}
        missing = [key for key, result in kept.items() if result is None]
        computed = compute(missing) if missing else {}
        found = {}
        for key, digest in digests.items():
            result = kept[key]
            self.runs.append(StepRun(name, digest, result is not None))
            if result is None:
                result = computed[key]
                self._keep(name, digest, inputs[key], result)
            found[key] = result
        return found

    def _kept(self, name: str, digest: str) -> CachedResult | None:
        if digest in self._known:
            return self._known[digest]
        if self._folder is None:
            return None
        try:
            with np.load(self._path(name, digest), allow_pickle=False) as file:
                parts = {part: file[part] for part in file.files}
            values = json.loads(parts.pop(_VALUES).tobytes())
            if digest_json(json.loads(parts.pop(_KEY).tobytes())) != digest:
                return None
        except _DAMAGED:
            return None
        self._known[digest] = CachedResult(values, parts)
        return self._known[digest]

    def _keep(self, name: str, digest: str, inputs: Mapping[str, Any], result: CachedResult) -> None:
        self._known[digest] = result
        if self._folder is None:
            return
        for part, array in result.arrays.items():
            if array.dtype.hasobject:
                raise TypeError(f"step {name}: the array {part} must hold numbers, got Python objects")
        texts = {_KEY: [name, dict(inputs), _environment()], _VALUES: dict(result.values)}
        content = io.BytesIO()
        np.savez(content, **{part: _as_bytes(value) for part, value in texts.items()}, **result.arrays)  # type: ignore[arg-type]
        write_bytes(self._path(name, digest), content.getvalue())

    def _path(self, name: str, digest: str) -> Path:
        assert self._folder is not None
        return self._folder / name / f"{digest[:32]}.npz"


def _as_bytes(value: Any) -> np.ndarray:
    return np.frombuffer(json.dumps(value, allow_nan=False).encode(), dtype=np.uint8)  # names keep their order


@cache
def _environment() -> dict[str, str]:
    """Return what decides a result besides its inputs: digest of the source code, and versions of libraries."""
    source = hashlib.sha256()
    for package in _PACKAGES:
        for file in _sources(files(package)):
            source.update(file.read_bytes())
    return {"source": source.hexdigest(), **{library: version(library) for library in _LIBRARIES}}


def _sources(folder: Traversable) -> Iterator[Traversable]:
    """Yield the Python files of a package and of the packages in it, by name."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _sources(entry)
        elif entry.name.endswith(".py"):
            yield entry
