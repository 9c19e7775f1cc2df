"""Timings of runs of an extraction: a small JSON per process, sampling and backbone, in the folder `timings`.

They say how long each phase took. No digest covers them, and a store is complete without them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import read_json, write_bytes, write_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.writing.timings.pass_shape import PassShape

FOLDER = "timings"
"""Folder beside the stores of a backbone."""

VERSION = 1
PHASES = ("model", "decoding", "writing")
"""Phases of a run: the model computes; the model waits for decoded frames; the model waits for the disk."""


@dataclass(frozen=True)
class PassTimings:
    """Seconds of the passes over some clips, all of the same prompts and the same number of blocks.

    Attributes:
        prompts: keys of the prompts that one pass served.
        blocks: blocks of the language model that ran.
        clips: clips that went through the model.
        video_seconds: how long they are.
        seconds: by phase, of `PHASES`.
        batch_clips: numbers of clips that went through the model at once, ascending.
    """

    prompts: tuple[str, ...]
    blocks: int
    clips: int
    video_seconds: float
    seconds: Mapping[str, float]
    batch_clips: tuple[int, ...]

    def __add__(self, other: "PassTimings") -> "PassTimings":
        return replace(
            self,
            clips=self.clips + other.clips,
            video_seconds=self.video_seconds + other.video_seconds,
            seconds={phase: self.seconds[phase] + other.seconds[phase] for phase in PHASES},
            batch_clips=tuple(sorted({*self.batch_clips, *other.batch_clips})),
        )


@dataclass(frozen=True)
class RunTimings:
    """Timings of one process on one sampling.

    Attributes:
        run: 32 hexadecimal digits, drawn for the process: the name of the file.
        begun: when it began, as UTC, for people.
        device: name of the device, without anything of the machine.
        dtype: number type of weights and passes.
        loading: seconds until the weights were there and the number of clips at once was known.
        digests: digest of the specification by prompt, of the stores that were written.
        passes: what ran.
        shape: shapes of a pass, None for families whose shapes are not known.
    """

    run: str
    begun: str
    device: str
    dtype: str
    loading: float
    digests: Mapping[str, str]
    passes: tuple[PassTimings, ...]
    shape: PassShape | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"version": VERSION, **asdict(self)}

    @staticmethod
    def from_json(value: dict[str, Any]) -> "RunTimings":
        """Read back `to_json`.

        Raises:
            KeyError, TypeError, ValueError: if it is not as this version writes it.
        """
        parts = dict(value)
        if parts.pop("version") != VERSION:
            raise ValueError("timings of another version")
        parts["passes"] = tuple(_passes(one) for one in parts["passes"])
        parts["shape"] = None if parts["shape"] is None else PassShape.from_json(parts["shape"])
        return RunTimings(**parts)

    def write(self, folder: StorePath) -> None:
        """Write the file below a backbone's folder, whole or not at all; a later call of the process replaces it."""
        write_json(folder / FOLDER / f"{self.run}.json", self.to_json())


@dataclass(frozen=True)
class DeviceTimings:
    """Timings of all runs on one kind of device: the same passes are added up."""

    device: str
    dtype: str
    passes: tuple[PassTimings, ...]
    shape: PassShape | None = field(default=None, repr=False)


def read_timings(folder: StorePath, prompt: str, digest: str) -> tuple[DeviceTimings, ...]:
    """Read the timings of one store, one value per kind of device; damaged files and runs of other stores are left out.

    Args:
        folder: the backbone's folder, in which the stores lie.
        prompt: key of the store's prompt.
        digest: digest of the store's specification.
    """
    found: dict[tuple[str, str], DeviceTimings] = {}
    for run in _runs(folder):
        passes = [one for one in run.passes if prompt in one.prompts and one.clips]
        if run.digests.get(prompt) != digest or not passes:
            continue
        before = found.get((run.device, run.dtype))
        known = before.passes if before else ()
        shape = _joined(run.shape, before.shape if before else None)
        found[run.device, run.dtype] = DeviceTimings(run.device, run.dtype, _added([*known, *passes]), shape)
    return tuple(found[key] for key in sorted(found))


def copy_timings(source: StorePath, target: StorePath) -> None:
    """Copy the timings of a backbone's folder beside copies of its stores."""
    for run in _runs(source):
        path = target / FOLDER / f"{run.run}.json"
        if not path.exists():
            write_bytes(path, (source / FOLDER / f"{run.run}.json").read_bytes())


def _runs(folder: StorePath) -> Iterable[RunTimings]:
    try:
        paths: list[StorePath] = sorted((folder / FOLDER).glob("*.json"))
    except (OSError, NotImplementedError, StoreError):  # a place that cannot be listed
        return
    for path in paths:
        try:
            yield RunTimings.from_json(read_json(path))
        except (OSError, StoreError, KeyError, TypeError, ValueError, AttributeError):
            continue


def _joined(shape: PassShape | None, other: PassShape | None) -> PassShape | None:
    """Join the shapes of two runs of one store, which differ in their prompts alone."""
    if shape is None or other is None:
        return shape or other
    return replace(shape, own={**other.own, **shape.own})


def _added(passes: Iterable[PassTimings]) -> tuple[PassTimings, ...]:
    found: dict[tuple[tuple[str, ...], int], PassTimings] = {}
    for one in passes:
        key = (one.prompts, one.blocks)
        found[key] = found[key] + one if key in found else one
    return tuple(found[key] for key in sorted(found))


def _passes(value: dict[str, Any]) -> PassTimings:
    return PassTimings(**{**value, "prompts": tuple(value["prompts"]), "batch_clips": tuple(value["batch_clips"])})
