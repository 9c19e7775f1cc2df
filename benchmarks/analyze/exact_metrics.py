"""Frame metrics from clip counts, beside scikit-learn: seconds, peak memory, and the difference of the values.

Run `python -m benchmarks.analyze.exact_metrics`. Every case runs in a process of its own, on one thread, on data made
from the same seed; its peak memory is what it adds to that of the interpreter, the imports and the clips.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from vadprobe.analyze.evaluation.bootstrap.bootstrap import METRICS, bootstrap_videos
from vadprobe.analyze.evaluation.metrics import average_precision, rank, roc_auc
from vadprobe.analyze.evaluation.scored_clips import ScoredClips

_SEED = 0
_BANDWIDTH_BYTES = 2**27  # copied: beyond every cache


@dataclass(frozen=True, eq=False)
class Clips:
    """One score, frame counts and a video code for each clip; clips of a video lie together, in order."""

    scores: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    groups: np.ndarray


def make_clips(n_frames: int, n_clips: int, n_videos: int) -> Clips:
    """Return random clips; half of the videos have an anomaly over the middle 30 % of their clips.

    The first clip of an anomaly is half anomalous. All scores differ, which is the worst case of a method that works
    by levels of the score.
    """
    generator = np.random.default_rng(_SEED)
    per_clip = n_frames // n_clips
    groups = np.arange(n_clips) * n_videos // n_clips
    positives = np.zeros(n_clips, dtype=np.int64)
    bounds = np.searchsorted(groups, np.arange(n_videos + 1))
    for video in range(0, n_videos, 2):
        start, stop = bounds[video : video + 2]
        first = start + int(0.35 * (stop - start))
        positives[first : start + max(1, int(0.65 * (stop - start)))] = per_clip
        positives[first] = (per_clip + 1) // 2
    scores = generator.normal(size=n_clips)
    scores += positives > 0
    scores += generator.normal(scale=0.5, size=n_videos)[groups]
    return Clips(scores, positives, per_clip - positives, groups)


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds by the clock, and the result."""
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def by_counts(clips: Clips) -> tuple[float, float]:
    """Return AUC and step AP by vadprobe."""
    ranking = rank(clips.scores, clips.positives, clips.negatives)
    return roc_auc(ranking), average_precision(ranking)


def weighted_rows(clips: Clips, drawn: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth, score and weight of each clip's positive and negative frames; rows of weight 0 are dropped."""
    times = 1 if drawn is None else drawn[clips.groups]
    weights = np.concatenate([clips.positives * times, clips.negatives * times])
    seen = np.flatnonzero(weights)
    truth = (seen < len(clips.scores)).astype(np.int8)
    return truth, clips.scores[seen % len(clips.scores)], weights[seen]


def by_weights(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[float, float]:
    """Return AUC and step AP by scikit-learn with one weighted row per clip and class."""
    truth, scores, weights = rows
    return (
        float(roc_auc_score(truth, scores, sample_weight=weights)),
        float(average_precision_score(truth, scores, sample_weight=weights)),
    )


def case_ours(clips: Clips, _: argparse.Namespace) -> dict[str, Any]:
    """Measure AUC and step AP from counts, sorting included."""
    seconds, values = timed(lambda: by_counts(clips))
    return {"seconds": seconds, "values": values}


def case_frames(clips: Clips, _: argparse.Namespace) -> dict[str, Any]:
    """Measure scikit-learn on single frames; expanding them counts for the memory, not for the seconds."""
    frames = clips.positives + clips.negatives
    scores = np.repeat(clips.scores, frames)
    ends = np.cumsum(frames)
    truth = np.zeros(len(scores), dtype=np.int8)
    for begin, stop in zip((ends - frames).tolist(), (ends - clips.negatives).tolist(), strict=True):
        truth[begin:stop] = 1
    seconds, values = timed(
        lambda: (float(roc_auc_score(truth, scores)), float(average_precision_score(truth, scores)))
    )
    return {"seconds": seconds, "values": values}


def case_weights(clips: Clips, _: argparse.Namespace) -> dict[str, Any]:
    """Measure scikit-learn with `sample_weight`; making the rows counts for the memory, not for the seconds."""
    rows = weighted_rows(clips)
    seconds, values = timed(lambda: by_weights(rows))
    return {"seconds": seconds, "values": values}


def resampled(clips: Clips, arguments: argparse.Namespace, metrics: Sequence[str]) -> dict[str, Any]:
    """Measure some metrics of every resample; the values are AUC and step AP of the first."""
    generator = np.random.default_rng(_SEED)
    units = ScoredClips(clips.scores, clips.positives, clips.negatives, clips.groups)
    options: dict[str, Any] = {"n_resamples": arguments.resamples, "generator": generator, "metrics": metrics}
    seconds, found = timed(lambda: bootstrap_videos(units, **options))
    first = slice(0, arguments.peer_resamples)
    values = [*found.values["auc"][first].tolist(), *found.values["ap_step"][first].tolist()]
    return {"seconds": seconds, "values": values, "interval": found.interval("auc")}


def case_bootstrap(clips: Clips, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure all five metrics of every resample."""
    return resampled(clips, arguments, METRICS)


def case_bootstrap_two(clips: Clips, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure AUC and step AP of every resample."""
    return resampled(clips, arguments, ("auc", "ap_step"))


def case_bootstrap_weights(clips: Clips, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure AUC and step AP of the first resamples, one by one, by scikit-learn with `sample_weight`."""
    generator = np.random.default_rng(_SEED)
    n_videos, values, seconds = int(clips.groups[-1]) + 1, [], 0.0
    for _ in range(arguments.peer_resamples):
        drawn = np.bincount(generator.integers(n_videos, size=n_videos), minlength=n_videos)
        rows = weighted_rows(clips, drawn)
        taken, pair = timed(lambda rows=rows: by_weights(rows))  # type: ignore[misc]
        seconds += taken
        values.append(pair)
    return {"seconds": seconds, "values": np.array(values).T.ravel().tolist()}


def case_limits(clips: Clips, _: argparse.Namespace) -> dict[str, Any]:
    """Measure the sort, which no exact method by sorting avoids, and how fast memory is copied here."""
    source, target = np.ones(_BANDWIDTH_BYTES // 8), np.ones(_BANDWIDTH_BYTES // 8)
    copying = min(timed(lambda: np.copyto(target, source))[0] for _ in range(3))
    sorting = min(timed(lambda: np.argsort(clips.scores))[0] for _ in range(3))
    return {"argsort": sorting, "bytes_per_second": 2 * _BANDWIDTH_BYTES / copying}


CASES: dict[str, Callable[[Clips, argparse.Namespace], dict[str, Any]]] = {
    "ours": case_ours,
    "frames": case_frames,
    "weights": case_weights,
    "bootstrap": case_bootstrap,
    "bootstrap_two": case_bootstrap_two,
    "bootstrap_weights": case_bootstrap_weights,
    "limits": case_limits,
}


def peak_bytes() -> int:
    """Return the most bytes of memory that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_here(arguments: argparse.Namespace) -> None:
    """Run one case in this process and print its result as JSON."""
    clips = make_clips(arguments.frames, arguments.clips, arguments.videos)
    baseline = peak_bytes()
    result = CASES[arguments.case](clips, arguments)
    print(json.dumps(result | {"bytes": peak_bytes() - baseline}))


def run_apart(case: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one case in a process of its own, on one thread."""
    sizes = [f"--{name.replace('_', '-')}={value}" for name, value in vars(arguments).items() if isinstance(value, int)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, *sizes, f"--case={case}"],
        env=os.environ | threads,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the largest absolute difference of the values."""
    return float(np.abs(np.array(one["values"]) - np.array(other["values"])).max())


def line(name: str, case: dict[str, Any], ours: dict[str, Any], seconds: float | None = None) -> str:
    """Return one row of a table."""
    taken = case["seconds"] if seconds is None else seconds
    difference_text = "" if case is ours else f"  differs by {difference(case, ours):.1e}"
    times = f"{taken / ours['seconds']:8.1f} x"
    return f"  {name:<44}{taken:10.3f} s {times} {case['bytes'] / 2**20:9.0f} MiB{difference_text}"


def report(found: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> str:
    """Return both tables in words."""
    ours, bootstrap, peer, limits = (found[name] for name in ("ours", "bootstrap_two", "bootstrap_weights", "limits"))
    scaled = peer["seconds"] * arguments.resamples / arguments.peer_resamples
    moved = 8 * arguments.clips * arguments.resamples
    streaming = moved / limits["bytes_per_second"]
    rows = [
        f"{arguments.frames} frames in {arguments.clips} clips of {arguments.videos} videos; one thread; seconds, "
        "times ours, peak memory beyond the clips",
        "AUC and average precision, largest difference from ours:",
        line("vadprobe, counts of clips", ours, ours),
        line("scikit-learn, single frames", found["frames"], ours),
        line("scikit-learn, sample_weight on clips", found["weights"], ours),
        f"  limit: np.argsort of the scores alone takes {limits['argsort']:.3f} s; ours takes "
        f"{ours['seconds'] / limits['argsort']:.1f} times that",
        f"video-clustered bootstrap, {arguments.resamples} resamples:",
        line("vadprobe, AUC and AP", bootstrap, bootstrap),
        line("vadprobe, five metrics", found["bootstrap"], bootstrap),
        line("scikit-learn, sample_weight, AUC and AP", peer, bootstrap, scaled),
        f"    (measured {peer['seconds']:.3f} s on {arguments.peer_resamples} resamples and scaled linearly to "
        f"{arguments.resamples}; the difference is over the measured ones)",
        f"  limit: adding one multiplicity per clip and resample reads {moved / 1e9:.3g} GB, {streaming:.3f} s at the "
        f"{limits['bytes_per_second'] / 1e9:.1f} GB/s of a memory copy; ours takes "
        f"{bootstrap['seconds'] / streaming:.1f} times that",
        "  95 % interval of the AUC: {:.5f} to {:.5f}".format(*bootstrap["interval"]),
    ]
    return "\n".join(rows)


def whole(text: str) -> int:
    """Return a positive whole number, also written as 1e8."""
    value = float(text)
    if value < 1 or value != int(value):
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return int(value)


def main() -> None:
    """Read the sizes, run every case, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=whole, default=10**8)
    parser.add_argument("--clips", type=whole, default=2 * 10**6)
    parser.add_argument("--videos", type=whole, default=2000)
    parser.add_argument("--resamples", type=whole, default=1000)
    parser.add_argument("--peer-resamples", type=whole, default=5, help="resamples of the scikit-learn loop")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--case", choices=CASES, help="run this case only, in this process; prints JSON")
    arguments = parser.parse_args()
    if not arguments.videos <= arguments.clips <= arguments.frames:
        parser.error("at least one clip per video and one frame per clip are needed")
    if arguments.peer_resamples > arguments.resamples:
        parser.error("--peer-resamples are among the --resamples, so not more")
    if arguments.case:
        run_here(arguments)
        return
    found = {case: run_apart(case, arguments) for case in CASES}
    print(report(found, arguments))
    if arguments.json:
        differences = {name: difference(found[name], found["ours"]) for name in ("frames", "weights")}
        differences["bootstrap_weights"] = difference(found["bootstrap_weights"], found["bootstrap"])
        arguments.json.write_text(json.dumps({"cases": found, "differences": differences}, indent=1))


if __name__ == "__main__":
    main()
