"""Several decoders at once, whose clips arrive in the order asked for and in bounded memory."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.errors import VideoError

MOST_CLIPS = 512
"""Clips that may be decoded ahead, however small they are."""


@dataclass(frozen=True)
class DecodedClip:
    """A clip's frames as ``prepare`` of the pool left them, or the reason why there are none.

    ``owner`` is that of the clip's ``Run``.
    """

    row: int
    frames: Any
    reason: str = ""
    owner: Any = None


@dataclass
class Run:
    """Clips of one video, in ascending order, that one decoder reads.

    ``clips`` are rows with their frame indices. ``owner`` is handed through. Once ``wanted`` returns False the rest is
    not decoded any more; its clips arrive with neither frames nor reason.
    """

    path: Path
    clips: Sequence[tuple[int, Sequence[int]]]
    owner: Any = None
    wanted: Callable[[], bool] = lambda: True
    _first: int = field(default=0, repr=False)
    _taken: bool = field(default=False, repr=False)
    _decoded: deque[DecodedClip | BaseException] = field(default_factory=deque, repr=False)


class DecodePool:
    """Decoder processes, each driven by a thread.

    A video is read by one decoder at a time, forward only, so two decoders help where there are two videos. A decoder
    that has room goes on to the next video while the model is busy with this one.

    Args:
        count: decoder processes.
        deadline: as for ``Decoder``.
        prepare: what else is done to the frames in the decoder's thread, such as resizing.
        least: so many clips may always be ahead of the one that was handed out last.
        budget: bytes of decoded clips beyond which no more than ``least`` are decoded ahead.
    """

    def __init__(
        self,
        count: int,
        deadline: float,
        prepare: Callable[[np.ndarray], Any] = lambda frames: frames,
        least: int = 16,
        budget: int = 1 << 30,
    ) -> None:
        self._prepare, self._least, self._budget = prepare, least, budget
        self._changed = threading.Condition()
        self._runs: deque[Run] = deque()
        self._busy: set[Path] = set()
        self._idle: dict[int, Path] = {}  # decoders without work, with the videos that they have open
        self._handed_out = self._asked_for = self._held_bytes = 0
        self._stopped = self._exhausted = False
        self._decoders = [Decoder(deadline) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._work, args=(number, decoder), name="decode-ahead", daemon=True)
            for number, decoder in enumerate(self._decoders)
        ]
        for thread in self._threads:
            thread.start()

    def clips(self, runs: Iterator[Run]) -> Iterator[DecodedClip]:
        """The clips of all runs in order. To be called once.

        ``runs`` is asked for the next one, in the caller's thread, only when a decoder has nothing to do.

        Raises:
            Exception: whatever went wrong while decoding and is no fault of the video.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_next_ready() or self._is_hungry() or self._is_over())
                hungry = self._is_hungry()
            if hungry:
                self._extend(next(runs, None))
                continue
            if self._is_over():
                return
            yield self._take()

    def _is_next_ready(self) -> bool:
        return bool(self._runs and self._runs[0]._decoded)

    def _is_over(self) -> bool:
        return self._exhausted and not self._runs

    def _is_hungry(self) -> bool:
        """Whether a decoder could begin another video now."""
        return (
            not self._exhausted
            and self._may_decode(self._asked_for)
            and not any(not run._taken for run in self._runs)
            and len(self._busy) < len(self._decoders)
        )

    def _may_decode(self, number: int) -> bool:
        """Whether the clip of that number, in the order of all clips, has room."""
        ahead = number - self._handed_out
        return ahead < self._least or (ahead < MOST_CLIPS and self._held_bytes < self._budget)

    def _may_go_on(self, number: int) -> bool:
        return self._stopped or self._may_decode(number)

    def _extend(self, run: Run | None) -> None:
        with self._changed:
            if run is None:
                self._exhausted = True
            elif run.clips:
                run._first = self._asked_for
                self._asked_for += len(run.clips)
                self._runs.append(run)
            self._changed.notify_all()

    def _take(self) -> DecodedClip:
        with self._changed:
            run = self._runs[0]
            clip = run._decoded.popleft()
            if isinstance(clip, BaseException):
                raise clip
            self._handed_out += 1
            self._held_bytes -= _n_bytes(clip.frames)
            if self._handed_out == run._first + len(run.clips):
                self._runs.popleft()
            self._changed.notify_all()
        return clip

    def _work(self, own: int, decoder: Decoder) -> None:
        try:
            run: Run | None = None
            while (run := self._next_run(own, run)) is not None:
                for number, (row, indices) in enumerate(run.clips, run._first):
                    with self._changed:
                        self._changed.wait_for(partial(self._may_go_on, number))
                    if self._stopped:
                        return
                    self._add(run, self._read(decoder, run, row, indices))
        finally:
            decoder.close()

    def _next_run(self, own: int, finished: Run | None) -> Run | None:
        """The first run that no decoder has taken, of a video that no decoder is reading.

        A video goes on in the decoder that has it open, if that one has nothing else to do: another would have to read
        it from the beginning.
        """

        def free() -> Run | None:
            elsewhere = {path for number, path in self._idle.items() if number != own}
            unwanted = self._busy | elsewhere
            return next((run for run in self._runs if not run._taken and run.path not in unwanted), None)

        with self._changed:
            if finished is not None:
                self._busy.remove(finished.path)
                self._idle[own] = finished.path
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopped or free() is not None or self._is_over())
            run = None if self._stopped else free()
            self._idle.pop(own, None)
            if run is not None:
                run._taken = True
                self._busy.add(run.path)
            self._changed.notify_all()
            return run

    def _read(self, decoder: Decoder, run: Run, row: int, indices: Sequence[int]) -> DecodedClip | BaseException:
        if not run.wanted():
            return DecodedClip(row, None, owner=run.owner)
        try:
            return DecodedClip(row, self._prepare(decoder.read_clip(run.path, indices)), owner=run.owner)
        except VideoError as error:
            return DecodedClip(row, None, str(error), run.owner)
        except MemoryError:
            return DecodedClip(row, None, "there is not enough memory for frames of this size", run.owner)
        except BaseException as error:  # noqa: BLE001 -- handed to the consumer, which raises it
            return error

    def _add(self, run: Run, clip: DecodedClip | BaseException) -> None:
        with self._changed:
            run._decoded.append(clip)
            if isinstance(clip, DecodedClip):
                self._held_bytes += _n_bytes(clip.frames)
            self._changed.notify_all()

    def close(self) -> None:
        """End the decoders, also in the middle of a clip."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for decoder in self._decoders:
            decoder.interrupt()
        for thread in self._threads:
            thread.join(timeout=10)

    def __enter__(self) -> "DecodePool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _n_bytes(frames: Any) -> int:
    return int(getattr(frames, "nbytes", 0))
