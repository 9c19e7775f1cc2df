"""The share of planted robust heads among the five chosen, by number of calibration videos: RHI and parts of it.

Run `python -m benchmarks.analyze.planted_heads`. Features with known heads are drawn anew many times, one vector per
video; each rule ranks the heads by the same metrics, and the share of planted robust heads among its top five is
averaged over draws, with a 95 % interval of the mean (Student's t over draws). The share of random heads is exact.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.support.planted_signal import PlantedSample, Planting, Truth
from vadprobe.analyze.saliency.heads import head_metrics
from vadprobe.analyze.saliency.ranking import rhi

Metrics = Mapping[str, np.ndarray]
ByPrompt = Mapping[str, Metrics]

TOP = 5
WEIGHT = 0.5  # lambda of RHI
SHORT = {
    "lda": "LDA",
    "symmetric_kl": "KL",
    "maximum_mean_discrepancy": "MMD",
    "cluster_information": "NMI",
}


def among_top(metrics: ByPrompt, names: Sequence[str], truth: Truth) -> float:
    """Return the share of robust heads among the top five of RHI from some metrics."""
    chosen = {prompt: {name: values[name] for name in names} for prompt, values in metrics.items()}
    robust = set(truth.robust)
    top = rhi(chosen, WEIGHT, TOP).heads
    return sum(head in robust for head in top) / TOP


def among_top_of_one_prompt(metrics: ByPrompt, names: Sequence[str], truth: Truth) -> float:
    """Return the same share from one prompt, averaged over the prompts."""
    return float(np.mean([among_top({prompt: values}, names, truth) for prompt, values in metrics.items()]))


def rules() -> dict[str, Callable[[ByPrompt, Truth], float]]:
    """Return every rule of choice by its printed name; `planted_null` measures the permutation null."""
    names = list(SHORT)
    without_kl = [name for name in names if name != "symmetric_kl"]
    found: dict[str, Callable[[ByPrompt, Truth], float]] = {
        "RHI as printed": lambda metrics, truth: among_top(metrics, names, truth),
        "RHI without KL": lambda metrics, truth: among_top(metrics, without_kl, truth),
    }
    for name, short in SHORT.items():
        found[f"{short} alone"] = lambda metrics, truth, name=name: among_top(metrics, [name], truth)  # type: ignore[misc]
    found["one prompt"] = lambda metrics, truth: among_top_of_one_prompt(metrics, names, truth)
    return found


def scenarios(planting: Planting) -> dict[str, tuple[Planting, float]]:
    """Return each scenario by name: its planting, and the fraction of anomalous videos."""
    covariance = replace(planting, covariance=max(1, planting.n_layers * planting.n_heads // 16))
    return {
        "plain": (planting, 0.5),
        "covariance-only heads": (covariance, 0.5),
        "covariance-only heads, 25 % anomalous": (covariance, 0.25),
        "20 % of anomalies unseen, heavy tails, massive dimensions": (
            replace(planting, overlap=0.2, tails=5.0, massive=2),
            0.5,
        ),
    }


def one_draw(planting: Planting, n_videos: int, anomalous: float, draw: int) -> dict[str, float]:
    """Return each rule's share in one draw; heads, directions and videos are all drawn anew."""
    sample = PlantedSample.of(replace(planting, seed=planting.seed + draw), n_videos, anomalous=anomalous, draw=draw)
    metrics = {prompt: head_metrics(sample.heads(prompt), sample.labels, 0) for prompt in planting.prompts}
    return {name: rule(metrics, sample.signal.truth) for name, rule in rules().items()}


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return the mean over draws with its 95 % interval; the interval of one draw is unknown."""
    mean = float(np.mean(values))
    half = None
    if len(values) > 1:
        half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return {"mean": mean, "half": half, "draws": list(values)}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every scenario at every number of videos."""
    planting = Planting(
        n_layers=arguments.layers,
        n_heads=arguments.heads,
        head_dim=arguments.head_dim,
        prompts=tuple(f"prompt{number}" for number in range(arguments.prompts)),
        robust=arguments.robust,
        unstable=arguments.unstable,
        strength=arguments.strength,
        unstable_strength=arguments.unstable_strength,
        shared=arguments.shared,
    )
    found: dict[str, Any] = {}
    for name, (planted, anomalous) in scenarios(planting).items():
        found[name] = {}
        for n_videos, draws in zip(arguments.videos, arguments.draws, strict=True):
            start = time.process_time()
            shares = [one_draw(planted, n_videos, anomalous, draw) for draw in range(draws)]
            taken = (time.process_time() - start) / draws
            by_rule = {rule: summary([share[rule] for share in shares]) for rule in shares[0]}
            found[name][str(n_videos)] = {"rules": by_rule, "seconds_per_draw": taken}
    return {"random": planting.robust / (planting.n_layers * planting.n_heads), "scenarios": found}


def report(found: dict[str, Any], arguments: argparse.Namespace) -> str:
    """Return the tables in words."""
    n_heads = arguments.layers * arguments.heads
    lines = [
        f"Share of the top {TOP} that are planted robust heads: {arguments.robust} robust of {n_heads} heads of "
        f"{arguments.head_dim} values, {arguments.unstable} heads informative under one of {arguments.prompts} prompts "
        f"alone; class distance {arguments.strength:g} (unstable {arguments.unstable_strength:g}); a share of "
        f"{arguments.shared:g} of the noise is the same under all prompts. Mean and 95 % interval over draws.",
    ]
    for scenario, by_videos in found["scenarios"].items():
        head = "".join(
            f"{f'N = {count} ({n})':>18}" for count, n in zip(arguments.videos, arguments.draws, strict=True)
        )
        lines += ["", f"{scenario:<22}" if len(scenario) < 22 else f"{scenario}\n{'':<22}"]
        lines[-1] += head
        for rule in rules():
            cells = []
            for one in by_videos.values():
                entry = one["rules"][rule]
                half = "" if entry["half"] is None else f" +- {entry['half']:.2f}"
                cells.append(f"{entry['mean']:.2f}{half}".rjust(18))
            lines.append(f"  {rule:<20}" + "".join(cells))
        lines.append(f"  {'random five, exact':<20}" + f"{found['random']:.3f}".rjust(18) * len(by_videos))
        lines.append(
            f"  {'seconds per draw':<20}" + "".join(f"{v['seconds_per_draw']:18.1f}" for v in by_videos.values())
        )
    lines += ["", "N = videos (draws); one vector per video. 'one prompt' is the mean over the prompts."]
    return "\n".join(lines)


def main() -> None:
    """Read the sizes, draw, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, nargs="+", default=[16, 40, 200, 1000])
    parser.add_argument("--draws", type=int, nargs="+", default=[20, 20, 10, 3], help="for each number of videos")
    parser.add_argument("--layers", type=int, default=14)
    parser.add_argument("--heads", type=int, default=14, help="of each layer")
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--prompts", type=int, default=5)
    parser.add_argument("--robust", type=int, default=5)
    parser.add_argument("--unstable", type=int, default=20)
    parser.add_argument("--strength", type=float, default=3.0)
    parser.add_argument("--unstable-strength", type=float, default=4.0)
    parser.add_argument("--shared", type=float, default=0.5)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    if len(arguments.draws) == 1:
        arguments.draws *= len(arguments.videos)
    if len(arguments.draws) != len(arguments.videos):
        parser.error("give one number of draws, or one for each number of videos")
    found = measure(arguments)
    print(report(found, arguments))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
