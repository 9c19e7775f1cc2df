"""Masks of all videos in one NPZ file, as NWPU Campus comes."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from vadprobe.store.datasets.annotations.folders.masks import UNREADABLE, annotation_of, anomalous_frames
from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.datasets.annotations.rows.rows import Annotation, Reading, Row, RowError, read_rows
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import error_text

_UNREADABLE = (*UNREADABLE, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def is_archive(path: Path) -> bool:
    """Return whether a path is that of an archive of masks."""
    return path.suffix.lower() == ".npz" and path.is_file()


def read_mask_archive(path: Path) -> Reading[Annotation]:
    """Read an NPZ file with one array for each video: one value per frame, 0 normal, 1 anomalous.

    An array may also be a mask of pixels, as in `read_masks`. Arrays of Python objects are never loaded. An array that
    is no mask is rejected.

    Returns:
        One entry per array, in the file's order; runs of anomalous frames are the intervals, half-open.

    Raises:
        VadprobeError: if the file cannot be read, or holds no array.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = list(archive.files)
            frames = {number: _frames(archive, name) for number, name in enumerate(names, start=1)}
    except _UNREADABLE as error:
        raise VadprobeError(
            f"the masks {path} are not readable as NPZ ({error_text(error)}); save one array for each video with "
            "numpy.savez."
        ) from error
    if not names:
        raise VadprobeError(f"{path} holds no array; save one for each video with numpy.savez.")

    def parse(row: Row) -> Annotation:
        found = frames[row.number]
        if isinstance(found, RowError):
            raise found
        return annotation_of(video_name(row.text), found)

    rows = [Row(number, name) for number, name in enumerate(names, start=1)]
    return read_rows(path, rows, parse, lambda annotation: annotation.video_id, unit="array")


def _frames(archive: "np.lib.npyio.NpzFile", name: str) -> np.ndarray | RowError:
    """Return (frames,) bool of one array, or the error that says why it is no mask."""
    try:
        values: object = archive[name]
        if not isinstance(values, np.ndarray):
            return RowError("a NumPy array of numbers", "save the mask again")
        return anomalous_frames(values)
    except RowError as error:
        return error
    except _UNREADABLE as error:
        return RowError("a NumPy array of numbers", f"save the mask again ({error_text(error)})")
