"""The tidy table of a sweep: one row for every draw of every cell, one column for each key and each metric."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from vadprobe.analyze.experiments.sweeps.keys import KEYS
from vadprobe.analyze.experiments.sweeps.measured import SWEEP_METRICS, MeasuredCell, Sweep
from vadprobe.store.files.parquet import with_notes

_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string()}


def tidy_table(sweep: Sweep) -> pa.Table:
    """Return the table; an unknown number is NaN, and a key without a value in a job is null.

    Columns of keys have the names of the keys, with `_` for `-`. `swept` is the changed key, "own" for the job's own
    settings, and "product" for a cell of a grid. `locator_sigma` and `locator_threshold` are those of the fitted
    locator, also if a grid or the adaptive rule found them.
    """
    keys = [(name.replace("-", "_"), _TYPES[KEYS[name].kind]) for name in sweep.plan.keys]
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("job", "dataset", "backbone", "method", "preset", "swept")),
            *keys,
            ("draw", pa.int64()),
            ("seed", pa.int64()),
            ("choice", pa.string()),
            ("layers", pa.list_(pa.int64())),
            ("locator_sigma", pa.float64()),
            ("locator_threshold", pa.float64()),
            *((name, pa.int64()) for name in ("n_fitted", "n_videos", "n_videos_positive")),
            *((name, pa.float64()) for name in SWEEP_METRICS),
            ("reason", pa.string()),
        ]
    )
    rows = [row for measured in sweep.cells for row in _rows(measured)]
    return with_notes(pa.Table.from_pylist(rows, schema), sweep.notes)


def _rows(measured: MeasuredCell) -> Iterator[dict[str, Any]]:
    cell = measured.cell
    config = cell.variation.config
    for number, draw in enumerate(measured.draws):
        yield {
            "job": cell.case.name,
            "dataset": cell.case.truth.name,
            "backbone": cell.case.backbone,
            "method": config.method,
            "preset": config.preset,
            "swept": cell.swept,
            **{name.replace("-", "_"): value for name, value in cell.values.items()},
            "draw": number,
            "seed": draw.seed,
            "choice": draw.choice,
            "layers": list(draw.layers),
            "locator_sigma": draw.sigma,
            "locator_threshold": draw.threshold,
            "n_fitted": draw.n_fitted,
            "n_videos": draw.n_videos,
            "n_videos_positive": draw.n_positive,
            **draw.numbers,
            "reason": draw.reason,
        }
