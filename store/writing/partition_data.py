"""The features of one partition before they are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vadprobe.store.errors import StoreError
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.schema import check_values, feature_arrays, storage_dtype
from vadprobe.store.format.specification import FeatureSpec


@dataclass(frozen=True)
class PartitionData:
    """The features of one partition, rows in table order, in the storage dtype of the backbone's dtype.

    Attributes:
        hidden_states: (n, layers + 1, hidden); layer 0 is the embedding.
        head_outputs: (n, layers, heads, head_dim). Heads that a block does not have are not looked at; a head that is
            narrower than `head_dim` ends in zeros.
        answer_logits: (n, 2), the logits of yes and no.
        failures: rows of the clip table that could not be computed, with the reason; their values are NaN throughout.
        batch_clips: how many clips went through the model at once, where the specification leaves that open.
    """

    hidden_states: np.ndarray
    head_outputs: np.ndarray
    answer_logits: np.ndarray
    failures: Mapping[int, str] = field(default_factory=dict)
    batch_clips: Sequence[int] = ()

    @staticmethod
    def empty(spec: FeatureSpec, count: int) -> "PartitionData":
        """Return a partition of `count` rows that are all NaN, to be filled."""
        dtype = storage_dtype(spec.backbone.dtype)
        found = {
            array.name: np.full(array.rows(count), np.nan, dtype)
            for array in feature_arrays(spec.backbone, spec.n_clips)
        }
        none = np.empty((count, spec.backbone.n_layers, 0, 0), dtype)
        return PartitionData(found["hidden_states"], found.get("head_outputs", none), found["answer_logits"])

    def check(self, spec: FeatureSpec, clips: ClipTable, rows: slice, stored: Mapping[str, np.ndarray]) -> None:
        """Refuse values that do not fit a store of this specification at these rows.

        Args:
            spec: the specification.
            clips: its clip table.
            rows: rows of the partition, half-open.
            stored: by name of each array that is stored in part or whole, (chunks,) bool in C order, True for inner
                chunks that are stored. Other values are not checked.

        Raises:
            StoreError: if shapes, dtypes or values do not fit, or values and failures contradict each other.
        """
        count = rows.stop - rows.start
        stray = [row for row in self.failures if not rows.start <= row < rows.stop]
        if stray:
            raise StoreError(f"failures name rows {stray[:5]}, outside this partition's [{rows.start}, {rows.stop}).")
        good = np.ones(count, dtype=bool)
        good[[row - rows.start for row in self.failures]] = False
        for array in feature_arrays(spec.backbone, spec.n_clips):
            if array.name not in stored:
                continue
            values = getattr(self, array.name)
            if values.shape != array.rows(count):
                raise StoreError(f"{array.name} must have shape {array.rows(count)}, got {values.shape}.")
            mask = stored[array.name]
            if not mask.all():
                values = values.reshape(count, len(mask), -1)[:, mask]
            check_values(array.name, values, spec.backbone.dtype)
            finite = _finite_rows(values)
            if not finite[good].all():
                row = int(np.flatnonzero(good & ~finite)[0]) + rows.start
                raise StoreError(
                    f"{array.name} of row {row} ({clips.clip(row).video_id!r}) is not finite, and the row is not "
                    "named as failed. A float16 backbone may have overflowed: use bfloat16."
                )
            if not np.isnan(values[~good].reshape(-1)).all():
                raise StoreError(f"{array.name}: a row named as failed holds values; it must be NaN.")


def _finite_rows(values: np.ndarray) -> np.ndarray:
    """Return (n,) bool: rows without an infinity or NaN."""
    with np.errstate(all="ignore"):
        sums = [np.add.reduce(row, axis=None) for row in values]  # carries on whatever is not finite
    finite = np.isfinite(sums)
    for row in np.flatnonzero(~finite):  # or the sum of finite values was too large
        finite[row] = np.isfinite(values[row]).all()
    return finite
