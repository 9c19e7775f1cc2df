"""The locator's grid and the bootstrap over videos, beside NumPy loops and scikit-learn: seconds, and the same values.

Run `python -m benchmarks.analyze.locator`. Everything runs in one process, on one thread, on data made from the same
seed: our code and its peers take turns, and the fastest round of each counts. Seconds are of the processor, so that
other programs matter less. Peak memory is that of one more run, counted by tracemalloc.
"""

import argparse
import itertools
import json
import os
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported

import numpy as np  # noqa: E402
from scipy.ndimage import gaussian_filter1d  # noqa: E402
from scipy.special import expit  # noqa: E402
from sklearn.metrics import f1_score  # noqa: E402

from benchmarks.analyze.exact_metrics import Clips, by_weights, make_clips, weighted_rows, whole  # noqa: E402
from vadprobe.analyze.evaluation.bootstrap.bootstrap import METRICS, bootstrap_videos  # noqa: E402
from vadprobe.analyze.evaluation.scored_clips import ScoredClips  # noqa: E402
from vadprobe.analyze.locator.cross_fitted import cross_fitted_grid  # noqa: E402
from vadprobe.analyze.locator.grid import frame_f1_grid  # noqa: E402
from vadprobe.analyze.locator.smoothing import smooth  # noqa: E402

_SEED = 0
_FRAMES_PER_CLIP = 24
_FOLDS = 5
_BANDWIDTH_BYTES = 2**27  # copied: beyond every cache
SIGMAS = (0.0, 0.4, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
THRESHOLDS = tuple(np.round(np.arange(1, 100) / 100, 2).tolist())
TWO = ("auc", "ap_step")


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor seconds, and the result."""
    start = time.process_time()
    result = action()
    return time.process_time() - start, result


def in_turns(actions: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, Any]]:
    """Return the fastest seconds and the last result of each action; every round runs all of them."""
    found: dict[str, dict[str, Any]] = {name: {"seconds": float("inf")} for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            seconds, result = timed(action)
            found[name] = {"seconds": min(seconds, found[name]["seconds"]), "result": result}
    return found


def peak_bytes(action: Callable[[], Any]) -> int:
    """Return the most bytes of memory that an action holds beyond its arguments."""
    tracemalloc.start()
    action()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def looped_grid(clips: Clips, found: Callable[[np.ndarray, np.ndarray], int]) -> np.ndarray:
    """Return the frame F1 of every cell: filter each video, loop over thresholds, count the frames above by `found`."""
    bounds = np.searchsorted(clips.groups, np.arange(int(clips.groups[-1]) + 2))
    n_positives = clips.positives.sum()
    grid = np.empty((len(SIGMAS), len(THRESHOLDS)))
    for row, sigma in enumerate(SIGMAS):
        smoothed = clips.scores.copy()
        if sigma > 0:
            for start, stop in itertools.pairwise(bounds):
                smoothed[start:stop] = gaussian_filter1d(clips.scores[start:stop], sigma)
        for column, threshold in enumerate(THRESHOLDS):
            above = smoothed > threshold
            hits = found(clips.positives, above)
            grid[row, column] = 2 * hits / (hits + found(clips.negatives, above) + n_positives)
    return grid


def cells_on_frames(clips: Clips, cells: Sequence[tuple[int, int]]) -> tuple[float, list[float]]:
    """Return seconds and values of scikit-learn's f1_score on single frames, without smoothing and expanding."""
    frames = clips.positives + clips.negatives
    ends = np.cumsum(frames)
    truth = np.zeros(int(ends[-1]), dtype=np.int8)
    for begin, stop in zip((ends - frames).tolist(), (ends - clips.negatives).tolist(), strict=True):
        truth[begin:stop] = 1
    seconds, values = 0.0, []
    for row, column in cells:
        above = np.repeat(smooth(clips.scores, SIGMAS[row], clips.groups) > THRESHOLDS[column], frames).astype(np.int8)
        taken, value = timed(lambda above=above: float(f1_score(truth, above)))  # type: ignore[misc]
        seconds += taken
        values.append(value)
    return seconds, values


def measure_grid(clips: Clips, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every cell in every way; scikit-learn on a few cells, its seconds scaled to all."""
    units = ScoredClips(clips.scores, clips.positives, clips.negatives, clips.groups)
    folds = clips.groups % _FOLDS
    ours = lambda: frame_f1_grid(units, SIGMAS, THRESHOLDS)  # noqa: E731
    found = in_turns(
        {
            "ours": ours,
            "selecting": lambda: looped_grid(clips, lambda frames, above: frames[above].sum()),
            "multiplying": lambda: looped_grid(clips, lambda frames, above: (frames * above).sum()),
            "cross_fitted": lambda: cross_fitted_grid(units, SIGMAS, THRESHOLDS, folds),
            "grid_per_fold": lambda: [
                frame_f1_grid(units.take(folds != fold), SIGMAS, THRESHOLDS).locator for fold in range(_FOLDS)
            ],
        },
        arguments.rounds,
    )
    grid = found["ours"].pop("result").f1
    for name in ("selecting", "multiplying"):
        found[name]["difference"] = float(np.abs(found[name].pop("result") - grid).max())
    pairs = list(found["cross_fitted"].pop("result").locators.values())
    found["grid_per_fold"]["difference"] = float(pairs != found["grid_per_fold"].pop("result"))
    generator = np.random.default_rng(_SEED)
    cells = [(int(cell) // len(THRESHOLDS), int(cell) % len(THRESHOLDS)) for cell in generator.choice(grid.size, 4)]
    seconds, values = cells_on_frames(clips, cells)
    found["frames"] = {
        "seconds": seconds * grid.size / len(cells),
        "measured_cells": len(cells),
        "difference": float(np.abs(np.array(values) - [grid[cell] for cell in cells]).max()),
    }
    found["ours"]["bytes"] = peak_bytes(ours)
    return found


def measure_bootstrap(clips: Clips, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure AUC and AP, all five metrics, and scikit-learn's AUC and AP of the first resamples, scaled to all."""
    units = ScoredClips(clips.scores, clips.positives, clips.negatives, clips.groups)
    n_videos = int(clips.groups[-1]) + 1

    def ours(metrics: Sequence[str]) -> Any:
        generator = np.random.default_rng(_SEED)
        return bootstrap_videos(units, n_resamples=arguments.resamples, generator=generator, metrics=metrics)

    generator = np.random.default_rng(_SEED)
    draws = [generator.integers(n_videos, size=n_videos) for _ in range(arguments.peer_resamples)]
    rows = [weighted_rows(clips, np.bincount(drawn, minlength=n_videos)) for drawn in draws]
    found = in_turns(
        {"two": lambda: ours(TWO), "five": lambda: ours(METRICS), "weights": lambda: [by_weights(row) for row in rows]},
        arguments.rounds,
    )
    two, five = found["two"].pop("result"), found["five"].pop("result")
    first = np.array([two.values[metric][: len(rows)] for metric in TWO])
    found["five"]["difference"] = float(max(np.abs(two.values[m] - five.values[m]).max() for m in TWO))
    found["weights"]["difference"] = float(np.abs(np.array(found["weights"].pop("result")).T - first).max())
    found["weights"]["seconds"] *= arguments.resamples / len(rows)
    for name, metrics in (("two", TWO), ("five", METRICS)):
        found[name]["bytes"] = peak_bytes(lambda metrics=metrics: ours(metrics))  # type: ignore[misc]
    return found


def copied_per_second() -> float:
    """Return the bytes read and written in a second by a copy of memory."""
    source, target = np.ones(_BANDWIDTH_BYTES // 8), np.ones(_BANDWIDTH_BYTES // 8)
    return 2 * _BANDWIDTH_BYTES / min(timed(lambda: np.copyto(target, source))[0] for _ in range(5))


def line(name: str, case: dict[str, Any], ours: dict[str, Any]) -> str:
    """Return one row of a table."""
    memory = f"{case['bytes'] / 2**20:9.0f} MiB" if "bytes" in case else " " * 13
    difference = f"  differs by {case['difference']:.1e}" if "difference" in case else ""
    return f"  {name:<52}{case['seconds']:11.4f} s {case['seconds'] / ours['seconds']:9.1f} x{memory}{difference}"


def report(found: dict[str, Any], arguments: argparse.Namespace) -> str:
    """Return the tables of one size in words."""
    grid, bootstrap, n_clips = found["grid"], found["bootstrap"], found["clips"]
    reading = 8 * n_clips * len(SIGMAS) / found["bytes_per_second"]
    added = 8 * n_clips * arguments.resamples
    return "\n".join(
        [
            f"{n_clips} clips of {_FRAMES_PER_CLIP} frames in {found['videos']} videos; one thread; seconds of the "
            "processor, times ours, peak memory",
            f"locator grid, {len(SIGMAS)} sigmas x {len(THRESHOLDS)} thresholds:",
            line("vadprobe", grid["ours"], grid["ours"]),
            line("NumPy loop, frames[above].sum()", grid["selecting"], grid["ours"]),
            line("NumPy loop, (frames * above).sum()", grid["multiplying"], grid["ours"]),
            line("scikit-learn, f1_score on single frames", grid["frames"], grid["ours"]),
            f"    (measured on {grid['frames']['measured_cells']} cells and scaled linearly to all)",
            f"  limit: reading the scores once per sigma takes {reading:.4f} s at the "
            f"{found['bytes_per_second'] / 1e9:.1f} GB/s of a memory copy; ours takes "
            f"{grid['ours']['seconds'] / reading:.0f} times that",
            line(f"vadprobe, cross-fitted over {_FOLDS} folds", grid["cross_fitted"], grid["cross_fitted"]),
            line("vadprobe, a grid for each fold", grid["grid_per_fold"], grid["cross_fitted"]),
            f"video-clustered bootstrap, {arguments.resamples} resamples:",
            line("vadprobe, AUC and AP", bootstrap["two"], bootstrap["two"]),
            line("scikit-learn, sample_weight, AUC and AP", bootstrap["weights"], bootstrap["two"]),
            line("vadprobe, five metrics", bootstrap["five"], bootstrap["five"]),
            line("scikit-learn, sample_weight, AUC and AP", bootstrap["weights"], bootstrap["five"]),
            f"    (measured on {arguments.peer_resamples} resamples and scaled linearly to {arguments.resamples}; the "
            "difference is over the measured ones)",
            f"  limit: adding one multiplicity per clip and resample reads {added / 1e9:.3g} GB, "
            f"{added / found['bytes_per_second']:.3f} s; AUC and AP take "
            f"{bootstrap['two']['seconds'] * found['bytes_per_second'] / added:.1f} times that",
        ]
    )


def main() -> None:
    """Read the sizes, run every case of each, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=whole, nargs="+", default=[36_000, 1_400_000])
    parser.add_argument("--videos", type=whole, nargs="+", default=[290, 800], help="one number for each of --clips")
    parser.add_argument("--resamples", type=whole, default=1000)
    parser.add_argument("--peer-resamples", type=whole, default=3, help="resamples of the scikit-learn loop")
    parser.add_argument("--rounds", type=whole, default=3)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    if len(arguments.clips) != len(arguments.videos):
        parser.error("--videos has one number for each of --clips")
    if any(videos > clips for clips, videos in zip(arguments.clips, arguments.videos, strict=True)):
        parser.error("at least one clip per video is needed")
    if arguments.peer_resamples > arguments.resamples:
        parser.error("--peer-resamples are among the --resamples, so not more")
    sizes = []
    for n_clips, n_videos in zip(arguments.clips, arguments.videos, strict=True):
        made = make_clips(_FRAMES_PER_CLIP * n_clips, n_clips, n_videos)
        clips = Clips(expit(made.scores), made.positives, made.negatives, made.groups)
        found = {
            "clips": n_clips,
            "videos": n_videos,
            "grid": measure_grid(clips, arguments),
            "bootstrap": measure_bootstrap(clips, arguments),
            "bytes_per_second": copied_per_second(),
        }
        print(report(found, arguments), flush=True)
        sizes.append(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(sizes, indent=1))


if __name__ == "__main__":
    main()
