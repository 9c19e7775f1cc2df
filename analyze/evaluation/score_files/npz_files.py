"""Scores of videos from an NPZ file: one array per video."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.analyze.evaluation.score_files.values import VideoScores
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import error_text

# Errors that NumPy, zipfile and the header's parser raise on a damaged or foreign archive.
_NPZ_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    SyntaxError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    MemoryError,
    KeyError,
    TypeError,
)


def npz_scores(path: Path) -> list[tuple[str, VideoScores]]:
    """Read the arrays of an NPZ file: video names and scores in order."""
    try:
        # np.load also opens single arrays, which have no names; arrays of objects raise ValueError.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found: list[tuple[str, Any]] = [(name, archive[name]) for name in archive.files]
    except _NPZ_ERRORS as error:
        fault = f"is not readable as NPZ ({error_text(error)})"
        if "pickle" in str(error).lower():
            fault = "holds Python objects, which are never loaded"
        raise VadprobeError(
            f"the score file {path} {fault}; save one array of numbers per video with numpy.savez."
        ) from error
    if not found:
        raise VadprobeError(f"the score file {path} holds no array; save one per video with numpy.savez.")
    for name, values in found:
        if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "iuf":
            got = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else "no array"
            raise VadprobeError(
                f"{path}: the array {name!r} must hold one number per frame or segment, in one dimension, got {got}."
            )
    with np.errstate(over="ignore"):  # a long double beyond the range of float64 becomes infinite, which is refused
        return [(name, VideoScores(values.astype(np.float64))) for name, values in found]
