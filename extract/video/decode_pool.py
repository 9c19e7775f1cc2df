"""Several decoders at once; their clips arrive in the order asked for, and take bounded memory."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor

from vadprobe.extract.video.decoder import Decoder, ReaderName
from vadprobe.store.errors import VideoError

MOST_CLIPS = 512
"""Clips that may be decoded ahead, however small they are."""


Owner = TypeVar("Owner")
Frames = TypeVar("Frames", bound=np.ndarray | Tensor)


@dataclass(frozen=True)
class Run(Generic[Owner]):
    """Clips of one video that one decoder reads.

    Attributes:
        owner: any object; every clip carries it back.
        path: the video file.
        clips: rows with their frame indices, in ascending order of frames.
        is_wanted: asked before each clip; once it returns False, clips arrive with neither frames nor a reason.
    """

    owner: Owner
    path: Path
    clips: Sequence[tuple[int, Sequence[int]]]
    is_wanted: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class DecodedClip(Generic[Owner, Frames]):
    """A clip's frames as the pool's `prepare` left them, or the reason why there are none."""

    owner: Owner
    row: int
    frames: Frames | None
    reason: str = ""


@dataclass
class _Queued(Generic[Owner, Frames]):
    """A run in the queue; its first clip is number `first` of all clips of the pool, from 0."""

    run: Run[Owner]
    first: int
    is_taken: bool = False
    decoded: deque[DecodedClip[Owner, Frames] | BaseException] = field(default_factory=deque)


class DecodePool(Generic[Owner, Frames]):
    """Decoder processes, each driven by a thread.

    A video is read by one decoder at a time, forward only, so two decoders help where there are two videos. A decoder
    that has room goes on to the next video while the model is busy with this one.

    Args:
        count: decoder processes.
        deadline: as for `Decoder`, in seconds.
        prepare: function applied to decoded frames, such as resizing; it runs in the decoder's thread.
        least: number of clips that may always be decoded ahead of the one handed out last.
        budget: bytes of decoded clips; beyond them no more than `least` clips are decoded ahead.
        reader: as for `Decoder`.
    """

    # One lock guards all state. The consumer's thread puts runs into the queue and takes clips out of it in order; the
    # decoders' threads take runs and add clips. Each change wakes all threads, which look whether it concerns them.

    def __init__(
        self,
        count: int,
        deadline: float,
        prepare: Callable[[np.ndarray], Frames],
        least: int = 16,
        budget: int = 1 << 30,
        reader: ReaderName = "auto",
    ) -> None:
        self._prepare, self._least, self._budget = prepare, least, budget
        self._changed = threading.Condition()
        self._queue: deque[_Queued[Owner, Frames]] = deque()
        self._busy: set[Path] = set()
        self._idle: dict[int, Path] = {}  # decoders without work, with the videos that they have open
        self._handed_out = self._asked_for = self._held_bytes = 0
        self._stopped = self._exhausted = False
        self._decoders = [Decoder(deadline, reader) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._work, args=(number, decoder), name="decode-ahead", daemon=True)
            for number, decoder in enumerate(self._decoders)
        ]
        for thread in self._threads:
            thread.start()

    def clips(self, runs: Iterator[Run[Owner]]) -> Iterator[DecodedClip[Owner, Frames]]:
        """Yield the clips of all runs in order. It may be called once.

        The next run is taken from `runs`, in the caller's thread, only when a decoder has nothing to do.

        Raises:
            Exception: any error while decoding that is no fault of the video.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_next_ready() or self._is_hungry() or self._is_over())
                hungry = self._is_hungry()
            if hungry:
                self._extend(next(runs, None))  # without the lock: it may take long, and decoders go on meanwhile
                continue
            if self._is_over():
                return
            yield self._take()

    def _is_next_ready(self) -> bool:
        return bool(self._queue and self._queue[0].decoded)

    def _is_over(self) -> bool:
        return self._exhausted and not self._queue

    def _is_hungry(self) -> bool:
        """Return True if a decoder could begin another video now."""
        return (
            not self._exhausted
            and self._may_decode(self._asked_for)
            and all(queued.is_taken for queued in self._queue)
            and len(self._busy) < len(self._decoders)
        )

    def _may_decode(self, number: int) -> bool:
        """Return True if there is room for clip `number` of all clips, from 0."""
        ahead = number - self._handed_out
        return ahead < self._least or (ahead < MOST_CLIPS and self._held_bytes < self._budget)

    def _may_go_on(self, number: int) -> bool:
        return self._stopped or self._may_decode(number)

    def _extend(self, run: Run[Owner] | None) -> None:
        with self._changed:
            if run is None:
                self._exhausted = True
            elif run.clips:
                self._queue.append(_Queued(run, self._asked_for))
                self._asked_for += len(run.clips)
            self._changed.notify_all()

    def _take(self) -> DecodedClip[Owner, Frames]:
        with self._changed:
            queued = self._queue[0]
            clip = queued.decoded.popleft()
            if isinstance(clip, BaseException):
                raise clip
            self._handed_out += 1
            self._held_bytes -= _n_bytes(clip)
            if self._handed_out == queued.first + len(queued.run.clips):
                self._queue.popleft()
            self._changed.notify_all()
        return clip

    def _work(self, own: int, decoder: Decoder) -> None:
        """Decode one run after another: the loop of a decoder's thread."""
        try:
            queued: _Queued[Owner, Frames] | None = None
            while (queued := self._next_run(own, queued)) is not None:
                for number, (row, indices) in enumerate(queued.run.clips, queued.first):
                    with self._changed:
                        self._changed.wait_for(partial(self._may_go_on, number))
                    if self._stopped:
                        return
                    self._add(queued, self._read(decoder, queued.run, row, indices))
        finally:
            decoder.close()

    def _next_run(self, own: int, finished: _Queued[Owner, Frames] | None) -> _Queued[Owner, Frames] | None:
        """Wait for a run that no decoder has taken, of a video that no decoder is reading; return None at the end.

        A run of a video that a decoder without work has open goes to that decoder: another one would have to read the
        video from its beginning.
        """

        def free() -> _Queued[Owner, Frames] | None:
            elsewhere = {path for number, path in self._idle.items() if number != own}
            unwanted = self._busy | elsewhere
            return next((one for one in self._queue if not one.is_taken and one.run.path not in unwanted), None)

        with self._changed:
            if finished is not None:
                self._busy.remove(finished.run.path)
                self._idle[own] = finished.run.path
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopped or free() is not None or self._is_over())
            queued = None if self._stopped else free()
            self._idle.pop(own, None)
            if queued is not None:
                queued.is_taken = True
                self._busy.add(queued.run.path)
            self._changed.notify_all()
            return queued

    def _read(
        self, decoder: Decoder, run: Run[Owner], row: int, indices: Sequence[int]
    ) -> DecodedClip[Owner, Frames] | BaseException:
        if not run.is_wanted():
            return DecodedClip(run.owner, row, None)
        try:
            return DecodedClip(run.owner, row, self._prepare(decoder.read_clip(run.path, indices)))
        except VideoError as error:
            return DecodedClip(run.owner, row, None, str(error))
        except MemoryError:
            return DecodedClip(run.owner, row, None, "there is not enough memory for frames of this size")
        except BaseException as error:  # noqa: BLE001 -- handed to the consumer, which raises it
            return error

    def _add(self, queued: _Queued[Owner, Frames], clip: DecodedClip[Owner, Frames] | BaseException) -> None:
        with self._changed:
            queued.decoded.append(clip)
            if isinstance(clip, DecodedClip):
                self._held_bytes += _n_bytes(clip)
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

    def __enter__(self) -> "DecodePool[Owner, Frames]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _n_bytes(clip: DecodedClip[Owner, Frames]) -> int:
    return 0 if clip.frames is None else clip.frames.nbytes
