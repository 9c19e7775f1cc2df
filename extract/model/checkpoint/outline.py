"""Outline of a backbone: all that planning needs, kept in the workspace, so that to plan again needs no torch."""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from vadprobe.extract.configuration import BackboneConfig
from vadprobe.extract.model.checkpoint.weight_files import content_files
from vadprobe.store.files.atomic_files import write_bytes
from vadprobe.store.files.digests import digest_json
from vadprobe.store.format.specification import BackboneSpec

Question = tuple[str, int, str]
"""Text of a prompt, the number of frames of the clips that it is about, and the text before the video."""

_SOURCES = ("vadprobe.extract", "vadprobe.store.format")
_DEVICE_FILES = ("nvidia*", "kfd", "dxg", "dri/render*")  # what a GPU's driver puts below /dev
_DEVICE_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


class PlannedBackbone(Protocol):
    """A backbone as planning sees it."""

    @property
    def spec(self) -> BackboneSpec:
        """The part of a store's specification."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user, to be said before the work begins."""
        ...

    @property
    def card(self) -> Mapping[str, Any] | None:
        """Content of the checkpoint's own card, None where it has none."""
        ...

    @property
    def can_share_prefix(self) -> bool:
        """True if prompts may share the tokens before their text."""
        ...

    def recipe(self) -> dict[str, Any]:
        """Return what the checkpoint adds to a store's recipe."""
        ...

    def prefix_mode(self, text: str, frames: int, before: str = "") -> str:
        """Return how the tokens before a prompt's text can run."""
        ...

    def device_type(self, name: str) -> str:
        """Return the kind of the device that a job names."""
        ...


@dataclass(frozen=True)
class Outline:
    """Values that another `PlannedBackbone` gave for some questions and one name of a device."""

    spec: BackboneSpec
    notes: tuple[str, ...]
    card: Mapping[str, Any] | None
    can_share_prefix: bool
    content: Mapping[str, Any]
    modes: Mapping[Question, str]
    devices: Mapping[str, str]

    @classmethod
    def of(cls, backbone: PlannedBackbone, questions: Sequence[Question], device: str) -> "Outline":
        """Ask a backbone."""
        return cls(
            backbone.spec,
            backbone.notes,
            backbone.card,
            backbone.can_share_prefix,
            backbone.recipe(),
            {question: backbone.prefix_mode(*question) for question in questions},
            {device: backbone.device_type(device)},
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Outline":
        """Read what `to_json` gave."""
        given = {**content, "spec": BackboneSpec(**content["spec"]), "notes": tuple(content["notes"])}
        return cls(
            **{**given, "modes": {(text, frames, before): mode for text, frames, before, mode in content["modes"]}}
        )

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON has them."""
        return {**asdict(self), "modes": [[*question, mode] for question, mode in self.modes.items()]}

    def recipe(self) -> dict[str, Any]:
        """Return what the checkpoint adds to a store's recipe."""
        return dict(self.content)

    def prefix_mode(self, text: str, frames: int, before: str = "") -> str:
        """Return how the tokens before a prompt's text can run; KeyError if that was not asked."""
        return self.modes[text, frames, before]

    def device_type(self, name: str) -> str:
        """Return the kind of a device; KeyError if that was not asked."""
        return self.devices[name]


class KeptOutline:
    """The file of an outline.

    It counts only while size, time of change and inode of all files of the checkpoint are what they were, and the
    libraries, the source of this package, the settings, the questions, and the GPUs that this process may see.

    Args:
        place: folder of such files.
        config: the job's `[backbone]` section.
        folder: the checkpoint.
        questions: all that planning will ask.
        device: name of the device that the job asks for.
    """

    def __init__(
        self, place: Path, config: BackboneConfig, folder: Path, questions: Sequence[Question], device: str
    ) -> None:
        self._questions, self._device = questions, device
        asked = [config.model_dump(mode="json"), str(folder.resolve()), [list(one) for one in questions], device]
        self._path = place / f"{digest_json(asked)[:32]}.json"
        self._key = digest_json([*asked, _states(content_files(folder)), _states(_own_files()), _environment()])

    def read(self) -> Outline | None:
        """Return the outline; None if there is none, or one of another state."""
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            kept = json.loads(self._path.read_bytes())
            if kept["key"] == self._key:
                return Outline.from_json(kept["outline"])
        return None

    def write(self, backbone: PlannedBackbone) -> None:
        """Ask a backbone and keep what it says; a folder that cannot be written to costs only time."""
        outline = Outline.of(backbone, self._questions, self._device)
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(self._path, json.dumps({"key": self._key, "outline": outline.to_json()}).encode())


def versions() -> dict[str, str]:
    """Return the versions of the libraries that can change a feature, and the kind of processor."""
    found = {name: _version(name) for name in ("torch", "transformers")}
    # decord, which need not be there, changes no value; it is named because older stores name it.
    with suppress(PackageNotFoundError):
        found["decord"] = _version("decord")
    return {**found, "av": _version("av"), "machine": platform.machine()}


@cache
def _version(package: str) -> str:
    """Return a package's version, which is read and parsed once."""
    return version(package)


def _states(paths: Sequence[Path]) -> list[list[Any]]:
    """Return what a change of a file changes with it; the time of its inode cannot be set back."""
    found = [(path, path.stat()) for path in paths]
    return [[path.name, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino] for path, state in found]


def _own_files() -> list[Path]:
    """Return the source files that decide an outline."""
    return sorted(path for name in _SOURCES for path in Path(str(files(name))).rglob("*.py"))


def _environment() -> list[Any]:
    """Return the libraries, and the GPUs that torch could find."""
    packages = {name: _version(name) for name in ("torch", "transformers", "tokenizers", "jinja2")}
    return [packages, *map(os.environ.get, _DEVICE_VARIABLES), list(_device_files())]


def _device_files() -> Iterator[str]:
    for pattern in _DEVICE_FILES:
        yield from sorted(map(str, Path("/dev").glob(pattern)))
