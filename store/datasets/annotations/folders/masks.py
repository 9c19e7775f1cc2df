"""Folders of per-frame masks, one file per video, as ShanghaiTech and its like come."""

import re
import warnings
from pathlib import Path
from tokenize import TokenError

import numpy as np

from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.datasets.annotations.rows.rows import Annotation, Reading, Row, RowError, read_rows
from vadprobe.store.datasets.video import Interval
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import error_text, visible

MASK_SUFFIXES = (".npy", ".txt", ".csv")
_MAX_VALUES = 2**33
# What NumPy raises on a damaged header or a file that is none.
UNREADABLE = (
    *(ValueError, OSError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError, TokenError, RecursionError),
    *(IndexError, KeyError, AttributeError),
)


def read_masks(folder: Path) -> Reading[Annotation]:
    """Read `<video>.npy`, `.txt` or `.csv` files: one value per frame, 0 normal, 1 anomalous.

    An array of shape (frames,) holds one value per frame. One of shape (frames, height, width) is a mask of pixels,
    where a frame is anomalous if any pixel is not 0. Text files hold 0s and 1s separated by white space or commas. The
    number of frames is that of the video. A file is rejected if it is anything else, or if another file names the same
    video, as `a.npy` and `a.mp4.npy` do. Arrays of Python objects are never loaded. Hidden files, folders and files of
    other kinds are left out and noted.

    Returns:
        One entry per mask file, by name; runs of anomalous frames are the intervals, half-open.

    Raises:
        VadprobeError: if the folder is missing or holds no mask.
    """
    try:
        inside = sorted(folder.iterdir())
        files = [path for path in inside if _is_mask(path)]
    except FileNotFoundError as error:
        raise VadprobeError(f"there is no folder of masks {folder}; check the path.") from error
    except (OSError, ValueError) as error:
        said = error_text(error)
        raise VadprobeError(
            f"the folder of masks {str(folder)!r} cannot be opened ({said}); check the path."
        ) from error
    if not files:
        raise VadprobeError(
            f"the folder {folder} holds no mask ({', '.join(MASK_SUFFIXES)}); put one file for each video there."
        )
    by_number = dict(enumerate(files, start=1))

    def parse(row: Row) -> Annotation:
        path = by_number[row.number]
        frames = _array(path) if path.suffix.lower() == ".npy" else _text(path)
        return annotation_of(video_name(path.stem), frames)

    rows = [Row(number, path.name) for number, path in by_number.items()]
    other = [visible(path.name) for path in inside if path not in files]
    notes = [f"{len(other)} other files not used, such as {other[0]}"] if other else []
    return read_rows(folder, rows, parse, lambda annotation: annotation.video_id, notes, unit="file")


def annotation_of(name: str, frames: np.ndarray) -> Annotation:
    """Return the annotation of a video from (frames,) bool, True for anomalous; runs of True become intervals."""
    edges = np.flatnonzero(np.diff(frames, prepend=False, append=False)).tolist()
    runs = zip(edges[::2], edges[1::2], strict=True)
    intervals = tuple(Interval(name, start, stop) for start, stop in runs)
    return Annotation(name, int(bool(intervals)), None, intervals, n_frames=len(frames))


def _is_mask(path: Path) -> bool:
    return path.suffix.lower() in MASK_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _array(path: Path) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old and odd headers are read if they can be, or refused
            # Unlike np.load this opens no archives and no pickles.
            values: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    except UNREADABLE as error:
        raise RowError("a NumPy array of numbers", f"save the mask again ({error_text(error)})") from error
    return anomalous_frames(values)


def anomalous_frames(values: np.ndarray) -> np.ndarray:
    """Return (frames,) bool, True for anomalous, from a mask of frames or of their pixels.

    Raises:
        RowError: if it is no mask.
    """
    if values.ndim not in (1, 3) or not 0 < values.size < _MAX_VALUES:
        raise RowError("an array of shape (frames,) or (frames, height, width)", "save the mask again")
    if values.dtype.kind not in "buif":
        raise RowError(f"numbers (the array holds {values.dtype})", "save the mask again")
    if values.ndim == 3:
        if values.dtype.kind == "f" and not all(np.isfinite(frame).all() for frame in values):
            raise RowError("only finite values", "save the mask again")
        return np.array([bool(np.any(frame != 0)) for frame in values])
    if not np.all((values == 0) | (values == 1)):
        raise RowError("only the values 0 and 1", "save the mask again")
    return np.asarray(values == 1)


def _text(path: Path) -> np.ndarray:
    try:
        tokens = re.split(r"[\s,]+", path.read_text(encoding="utf-8-sig").strip(" \t\r\n,"))
    except (OSError, UnicodeDecodeError) as error:
        raise RowError("a text file of 0s and 1s", f"save the mask again ({error_text(error)})") from error
    if not all(token in ("0", "1", "0.0", "1.0") for token in tokens):
        raise RowError("0s and 1s separated by white space or commas", "save the mask again")
    return np.array([token.startswith("1") for token in tokens])
