"""Whether what is to be stored fits on the disk, asked before the work."""

import math
import shutil
from pathlib import Path

from vadprobe.store.errors import StoreError
from vadprobe.store.records import FeatureSpec
from vadprobe.store.schema import feature_arrays

_BYTES_PER_VALUE = {"bfloat16": 1.7, "float16": 1.9, "float32": 3.6}
"""What a value takes after compression, rounded up: 1.59 to 1.62 and 1.87 were measured for the first two."""


def stored_bytes(spec: FeatureSpec, n_rows: int) -> int:
    """About how many bytes some rows of a store take on the disk."""
    values = sum(math.prod(array.shape[1:]) for array in feature_arrays(spec.backbone, spec.n_clips))
    return math.ceil(n_rows * values * _BYTES_PER_VALUE[spec.backbone.dtype])


def require_space(folder: Path, n_bytes: int) -> None:
    """Refuse work whose result does not fit.

    Args:
        folder: where it is to be stored; need not exist yet.
        n_bytes: what it takes; 0 always fits.

    Raises:
        StoreError: naming what is needed and what is free.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if n_bytes > free:
        raise StoreError(
            f"the features still to be computed take about {n_bytes / 1e6:,.1f} MB, but {free / 1e6:,.1f} MB are free "
            f"at {folder}. Free some space, use another root, or ask for fewer prompts or samplings."
        )
