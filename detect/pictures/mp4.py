"""Writing an mp4 frame by frame."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from PIL import Image

QUALITY = {"crf": "23", "preset": "veryfast"}


class Mp4Writer:
    """Writer of an H.264 film, frame by frame; the file appears under its name when it is complete.

    Use it in a `with` block; after an error inside, there is no file.

    Args:
        path: the file; an earlier one is replaced.
        fps: frames per second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._part = path, path.with_name(f".{path.name}.partial")
        self._rate = Fraction(fps).limit_denominator(10_000)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size = (0, 0)
        self._last = -1

    def __enter__(self) -> "Mp4Writer":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._container is None or self._stream is None:
            return
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
            if kind is None:
                self._part.replace(self._path)
            else:
                with suppress(FileNotFoundError):
                    self._part.unlink()

    def write(self, pixels: np.ndarray, position: int) -> None:
        """Add a frame.

        Args:
            pixels: (height, width, 3) uint8, RGB. A frame of another size than the first is scaled to that.
            position: number of the frame in the film, ascending; the frame before is shown until then.
        """
        if position <= self._last:
            raise ValueError(f"the position of a frame must be above {self._last}, got {position}")
        if self._container is None or self._stream is None:
            self._open(*pixels.shape[:2])
        assert self._container is not None
        assert self._stream is not None
        frame = av.VideoFrame.from_ndarray(self._fitted(pixels), format="rgb24")
        frame.pts, frame.time_base = position, 1 / self._rate
        self._container.mux(self._stream.encode(frame))
        self._last = position

    def _open(self, height: int, width: int) -> None:
        self._size = (height, width)
        self._container = av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream("libx264", rate=self._rate, options=QUALITY)
        # Colours are stored for blocks of 2 x 2 pixels.
        self._stream.height, self._stream.width = height + height % 2, width + width % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = 1 / self._rate

    def _fitted(self, pixels: np.ndarray) -> np.ndarray:
        height, width = self._size
        if pixels.shape[:2] != self._size:
            pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height)))
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        return np.ascontiguousarray(pixels)
