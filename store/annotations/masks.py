"""Folders of per-frame masks, one file per video, as ShanghaiTech and its like come."""

import re
import warnings
from pathlib import Path
from tokenize import TokenError

import numpy as np

from vadprobe.store.annotations.reading import Annotation, Reading, Row, RowError, read_rows
from vadprobe.store.errors import VadprobeError
from vadprobe.store.records import Interval

MASK_SUFFIXES = (".npy", ".txt", ".csv")
_MAX_VALUES = 2**33
# What NumPy raises on a damaged header or a file that is none.
_UNREADABLE = (ValueError, OSError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError, TokenError)


def read_masks(folder: Path) -> Reading[Annotation]:
    """Read ``<video>.npy``, ``.txt`` or ``.csv`` files: one value per frame, 0 normal, 1 anomalous.

    An array of shape (frames,) holds one value per frame, one of shape (frames, height, width) a mask of pixels: a
    frame is anomalous where any pixel is not 0. Text files hold 0s and 1s separated by white space or commas. The
    number of values is the video's number of frames. A file is rejected if it is anything else, or another file is of
    the same video. Arrays of Python objects are never loaded.

    Returns:
        One entry per mask file, by name; runs of anomalous frames are the intervals, half-open.

    Raises:
        VadprobeError: if the folder is missing or holds no mask.
    """
    if not folder.is_dir():
        raise VadprobeError(f"there is no folder of masks {folder}; check the path.")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in MASK_SUFFIXES and path.is_file())
    if not files:
        raise VadprobeError(
            f"the folder {folder} holds no mask ({', '.join(MASK_SUFFIXES)}); one file per video is wanted."
        )
    by_number = dict(enumerate(files, start=1))

    def parse(row: Row) -> Annotation:
        path = by_number[row.number]
        frames = _array(path) if path.suffix.lower() == ".npy" else _text(path)
        edges = np.flatnonzero(np.diff(frames, prepend=False, append=False)).tolist()
        runs = zip(edges[::2], edges[1::2], strict=True)
        intervals = tuple(Interval(path.stem, start, stop) for start, stop in runs)
        return Annotation(path.stem, int(bool(intervals)), None, intervals, n_frames=len(frames))

    rows = [Row(number, path.name) for number, path in by_number.items()]
    return read_rows(folder, rows, parse, lambda annotation: annotation.video_id, unit="file")


def _array(path: Path) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # headers written by Python 2 are read all the same
            values = np.load(path, mmap_mode="r", allow_pickle=False)
    except _UNREADABLE as error:
        raise RowError("a NumPy array of numbers", f"save the mask again ({_first_line(error)})") from error
    if not isinstance(values, np.ndarray) or values.ndim not in (1, 3) or not 0 < values.size < _MAX_VALUES:
        raise RowError("an array of shape (frames,) or (frames, height, width)", "save the mask again")
    if values.dtype.kind not in "buif":
        raise RowError(f"numbers (the array holds {values.dtype})", "save the mask again")
    if values.ndim == 3:
        return np.array([bool(np.any(frame != 0)) for frame in values])
    if not np.isin(values, (0, 1)).all():
        raise RowError("only the values 0 and 1", "save the mask again")
    return np.asarray(values == 1)


def _text(path: Path) -> np.ndarray:
    try:
        tokens = re.split(r"[\s,]+", path.read_text(encoding="utf-8-sig").strip(" \t\r\n,"))
    except (OSError, UnicodeDecodeError) as error:
        raise RowError("a text file of 0s and 1s", f"save the mask again ({_first_line(error)})") from error
    if not all(token in ("0", "1", "0.0", "1.0") for token in tokens):
        raise RowError("0s and 1s separated by white space or commas", "save the mask again")
    return np.array([token.startswith("1") for token in tokens])


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
