"""Time of an extraction: in the model, and waiting for decoders and writers."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from vadprobe.store.files.text import counted
from vadprobe.store.writing.timings.run_timings import PHASES, PassTimings

PARTS = ("loading", *PHASES)


class PassKind(NamedTuple):
    """The passes that are counted together: a sampling of the plan, the prompts served, the blocks that run."""

    position: int
    prompts: tuple[str, ...]
    blocks: int


@dataclass
class Spending:
    """Seconds that are being spent; the code inside sets `kind` once it knows for which passes."""

    kind: PassKind | None = None


@dataclass
class _Counted:
    """Count of one kind of passes."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    clips: int = 0
    video_seconds: float = 0.0
    batches: set[int] = field(default_factory=set)


@dataclass
class Timings:
    """Seconds spent in the model, and waiting for decoders and writers while the model was idle.

    `video_seconds` counts the clips that went through the model; `device` is where it runs, once that is known.
    """

    started: float = field(default_factory=time.monotonic)
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    clips: int = 0
    video_seconds: float = 0.0
    device: torch.device | None = None
    _kinds: dict[PassKind, _Counted] = field(default_factory=dict, repr=False)

    def start(self, device: torch.device) -> None:
        """Begin to count, unless it was begun before."""
        if self.device is None:
            self.device, self.started = device, time.monotonic()

    def count(self, video_seconds: float, clips: int, kind: PassKind | None = None) -> None:
        """Count clips that went through the model at once."""
        self.video_seconds += video_seconds
        self.clips += clips
        if kind is not None:
            counted = self._kinds.setdefault(kind, _Counted())
            counted.clips += clips
            counted.video_seconds += video_seconds
            counted.batches.add(clips)

    @contextmanager
    def spend(self, part: str, kind: PassKind | None = None) -> Iterator[Spending]:
        """Count the seconds inside as time of one of `PARTS`, for the kind of passes that is set at the end."""
        spending, begun = Spending(kind), time.monotonic()
        try:
            yield spending
        finally:
            seconds = time.monotonic() - begun
            self.spent[part] += seconds
            if spending.kind is not None:
                self._kinds.setdefault(spending.kind, _Counted()).seconds[part] += seconds

    def passes_of(self, position: int) -> Sequence[PassTimings]:
        """Return the timings of one sampling of the plan."""
        return [
            PassTimings(
                prompts=kind.prompts,
                blocks=kind.blocks,
                clips=counted.clips,
                video_seconds=counted.video_seconds,
                seconds={phase: counted.seconds[phase] for phase in PHASES},
                batch_clips=tuple(sorted(counted.batches)),
            )
            for kind, counted in self._kinds.items()
            if kind.position == position and counted.clips
        ]

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.started

    def busy(self) -> str:
        """Return a few words on the video computed per second and how busy the model is; "" before the first pass."""
        if not self.clips:
            return ""
        words = [f"{self.video_seconds / self.seconds:.1f}x real time", f"model {self.percent('model'):.0f} %"]
        used = gpu_utilisation(self.device)
        return ", ".join(words if used is None else [*words, f"GPU {used} %"])

    def percent(self, part: str) -> float:
        """Return the percent of the time since the beginning that went to one of `PARTS`."""
        return 100 * self.spent[part] / max(self.seconds, 1e-9)

    def sentence(self) -> str:
        """Return a sentence on where the time went, for the end of a run; "" if nothing was computed."""
        if not self.clips:
            return ""
        model, decoding, writing = map(self.percent, PHASES)
        return (
            f"{counted(self.clips, 'clip')} in {self.seconds:.0f} s: {self.clips / self.seconds:.1f} clips/s, "
            f"{self.video_seconds / self.seconds:.1f}x real time. The model ran {model:.0f} % of the time and waited "
            f"{decoding:.0f} % for decoding, {writing:.0f} % for writing."
        )


def gpu_utilisation(device: torch.device | None) -> int | None:
    """Return the percent of the last moments in which the GPU was busy; None without a GPU or nvidia-ml-py."""
    if device is None or device.type != "cuda":
        return None
    with suppress(ModuleNotFoundError, RuntimeError):
        return int(torch.cuda.utilization(device))
    return None
