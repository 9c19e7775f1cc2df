"""Saliency of every head and layer, beside loops over heads and dimensions with scikit-learn: time and values.

Run `python -m benchmarks.analyze.saliency`. Every number of samples runs in a process of its own, on one thread, on
features made from the same seed: seconds are of the processor. The loop over heads is timed on some heads and scaled
up; all its values are compared. Rates are given as shares of that of a large matrix product in the same process.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist, pdist
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf, ledoit_wolf
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.pairwise import rbf_kernel

from vadprobe.analyze.saliency.heads import head_metrics
from vadprobe.analyze.saliency.kernels.head_blocks import BLOCK_BYTES
from vadprobe.analyze.saliency.kernels.mmd import ALL_AT_ONCE, pairs_in_strips
from vadprobe.analyze.saliency.layers import layer_metrics
from vadprobe.analyze.saliency.ranking import rhi
from vadprobe.analyze.saliency.samples import centre_classes

_SEED = 0
_SQUARE = 1024  # rows of the matrix product whose rate is the upper bound
Values = tuple[float, float, float, float]


def make_heads(prompt: int, n: int, arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Return features (1, heads, n, d) float32 with unequal dimensions, a tenth of the heads informative, and labels.

    They lie in memory as a store gives them: samples first.
    """
    generator = np.random.default_rng([_SEED, prompt, n])
    labels = np.arange(n) % 2
    heads, d = arguments.heads, arguments.dimension
    spectrum = np.arange(1, d + 1) ** -0.5
    strength = generator.uniform(0.5, 2, heads) * (np.arange(heads) % 10 == 0)
    shift = strength[:, None] * generator.normal(size=(heads, d)) * labels[:, None, None]
    features = ((generator.normal(size=(n, heads, d)) + shift) * spectrum).astype(np.float32)
    return np.moveaxis(features[:, None], 0, 2), labels


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor seconds, and the result."""
    start = time.process_time()
    result = action()
    return time.process_time() - start, result


def class_parts(head: np.ndarray, labels: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return samples of the normal and the anomalous class, both centred, and the difference of their means."""
    classes = [head[labels == 0], head[labels == 1]]
    means = [mine.mean(axis=0) for mine in classes]
    return classes, [mine - mean for mine, mean in zip(classes, means, strict=True)], means[1] - means[0]


def divergence(covariances: list[np.ndarray], difference: np.ndarray) -> float:
    """Return the mean of both divergences, from inverses."""
    inverses = [np.linalg.inv(covariance) for covariance in covariances]
    traces = np.trace(inverses[0] @ covariances[1]) + np.trace(inverses[1] @ covariances[0])
    return float(traces - 2 * len(difference) + difference @ (inverses[0] + inverses[1]) @ difference) / 4


def loop_paper(head: np.ndarray, labels: np.ndarray) -> Values:
    """Return the four metrics of one head (n, d) as a user of scikit-learn writes them, eqs. 3 to 6 (HeadHunt-VAD)."""
    _, centred, difference = class_parts(head, labels)
    within = ledoit_wolf(np.concatenate(centred), assume_centered=True)[0]
    covariances = [ledoit_wolf(mine, assume_centered=True)[0] for mine in centred]
    kernel = rbf_kernel(head, gamma=1 / (2 * np.median(pdist(head)) ** 2))
    a, n = labels == 1, labels == 0
    squared = kernel[np.ix_(a, a)].mean() + kernel[np.ix_(n, n)].mean() - 2 * kernel[np.ix_(a, n)].mean()
    clusters = KMeans(2, n_init=10, tol=0, random_state=_SEED).fit_predict(head)
    return (
        float(difference @ np.linalg.solve(within, difference)),
        divergence(covariances, difference),
        float(np.sqrt(max(squared, 0))),
        float(normalized_mutual_info_score(labels, clusters, average_method="geometric")),
    )


def loop_code(head: np.ndarray, labels: np.ndarray) -> Values:
    """Return the four metrics of one head with the constants of the method's public code."""
    classes, centred, difference = class_parts(head, labels)
    scatter = sum(mine.T @ mine for mine in centred) + 1e-6 * np.eye(head.shape[1])
    direction = np.linalg.pinv(scatter) @ difference
    spread = direction @ scatter @ direction
    ridge = 1e-10 * np.eye(head.shape[1])
    covariances = [LedoitWolf().fit(mine).covariance_ + ridge for mine in classes]
    ordered = np.concatenate(classes[::-1])
    squared = cdist(ordered, ordered, "sqeuclidean")
    kernel = np.exp(-squared / (2 * np.median(squared[squared > 0])))
    n = len(classes[1])
    clusters = KMeans(2, random_state=42, n_init="auto").fit_predict(ordered)
    return (
        float((direction @ difference) ** 2 / spread) if spread >= 1e-9 else 0.0,
        float(np.clip(divergence(covariances, difference), 0, 1e6)),
        float(max(kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean(), 0)),
        float(normalized_mutual_info_score(np.arange(len(head)) < n, clusters)),
    )


NAMES = ("lda", "symmetric_kl", "maximum_mean_discrepancy", "cluster_information")
"""Names of the metrics, in the order of the loops' values."""

LOOPS: dict[str, Callable[[np.ndarray, np.ndarray], Values]] = {"paper": loop_paper, "headhunt-code": loop_code}


def whole_rhi(n: int, convention: Any, arguments: argparse.Namespace) -> tuple[float, dict[str, Any], list[Any]]:
    """Return the seconds of metrics and ranking of all heads and prompts, the metrics by prompt, and the heads."""
    seconds, metrics = 0.0, {}
    for prompt in range(arguments.prompts):
        features, labels = make_heads(prompt, n, arguments)
        taken, metrics[str(prompt)] = timed(lambda: head_metrics(features, labels, _SEED, convention))  # noqa: B023
        seconds += taken
    taken, found = timed(lambda: rhi(metrics, top=min(5, arguments.heads)))
    return seconds + taken, metrics, [list(head) for head in found.heads]


def compare_heads(n: int, convention: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare our RHI with the loop on some heads of some prompts; after a loop over all, the chosen heads too."""
    features, labels = make_heads(0, n, arguments)
    head_metrics(features[:, :2], labels, _SEED, convention)  # type: ignore[arg-type]
    seconds, metrics, heads = whole_rhi(n, convention, arguments)
    numbers = np.linspace(0, arguments.heads - 1, min(arguments.peer_heads, arguments.heads)).astype(int)
    prompts = range(min(arguments.peer_prompts, arguments.prompts))
    LOOPS[convention](features[0, 0].astype(np.float64), labels)
    peer, theirs = 0.0, {}
    for prompt in prompts:
        taken, theirs[str(prompt)] = loop_over(prompt, numbers, n, convention, arguments)
        peer += taken
    scaled = peer * arguments.heads * arguments.prompts / (len(numbers) * len(prompts))
    ours = {name: np.stack([metrics[prompt][name][0, numbers] for prompt in theirs]) for name in NAMES}
    loops = {name: np.stack([values[name] for values in theirs.values()]) for name in NAMES}
    apart = {name: np.abs(ours[name] - loops[name]) for name in NAMES}
    found = {
        "seconds": seconds,
        "peer_seconds": scaled,
        "peer_heads": len(numbers) * len(prompts),
        "ratio": scaled / seconds,
        "differences": {
            name: float((apart[name] / np.maximum(np.abs(loops[name]), 1e-12)).max()) for name in NAMES[:3]
        },
        "same_information": float((apart["cluster_information"] < 1e-9).mean()),
        "heads": heads,
    }
    if len(numbers) * len(prompts) == arguments.heads * arguments.prompts:
        chosen = rhi({p: {m: v[None] for m, v in of.items()} for p, of in theirs.items()}, top=len(heads)).heads
        found["peer_chooses"] = [list(head) for head in chosen]
    return found


def loop_over(
    prompt: int, numbers: np.ndarray, n: int, convention: str, arguments: argparse.Namespace
) -> tuple[float, dict[str, np.ndarray]]:
    """Return the seconds of the loop over some heads of a prompt, and their metrics by name."""
    features, labels = make_heads(prompt, n, arguments)
    samples = [features[0, number].astype(np.float64) for number in numbers]
    taken, values = timed(lambda: [LOOPS[convention](head, labels) for head in samples])
    return taken, dict(zip(NAMES, np.array(values).T, strict=True))


def largest_kernel(n: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the one product that grows as n^2 d, alone: all inner products, or for many samples all distances."""
    features, labels = make_heads(0, n, arguments)
    d = arguments.dimension
    many = n > ALL_AT_ONCE
    units = features[0, : max(1, BLOCK_BYTES // (8 * n * (2 * n + d)))]
    blocks = [centre_classes(units, labels == 1) for _ in range(5)]  # a block keeps its products
    if many:
        seconds = min(timed(lambda: [pairs_in_strips(one, 0)])[0] for one in blocks for _ in range(3))  # noqa: B023
        operations, name = n * (n - 1) * d, "distances of all pairs"
    else:
        seconds = min(timed(lambda: one.gram)[0] for one in blocks) / len(units)  # noqa: B023
        operations, name = 2 * n * n * d, "inner products of all samples"
    return {"name": name, "seconds": seconds, "operations": operations}


def by_dimension(layer: np.ndarray, labels: np.ndarray) -> Values:
    """Return HiProbe-VAD's three metrics of one layer (n, D), dimension by dimension, and how many were floored."""
    totals = np.zeros(4)
    for column in layer.T:
        normal, anomalous = column[labels == 0], column[labels == 1]
        floor = 1e-3 * column.var()
        (m_p, v_p), (m_q, v_q) = ((mine.mean(), max(mine.var(), floor)) for mine in (normal, anomalous))
        totals[3] += normal.var() < floor or anomalous.var() < floor
        totals[0] += (np.log(v_q / v_p) + (v_p + (m_p - m_q) ** 2) / v_q - 1) / 2
        totals[1] += (m_q - m_p) ** 2 / (anomalous.var() + normal.var() + 1e-12)
        counts = np.histogram(column, bins=32)[0]
        totals[2] += entropy(counts, base=2)
    return totals[0] / layer.shape[1], totals[1] / layer.shape[1], totals[2] / layer.shape[1], totals[3]


def compare_layers(n: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare our layer metrics with the loop over the dimensions of the first layer."""
    generator = np.random.default_rng([_SEED, n])
    labels = np.arange(n) % 2
    layers = generator.normal(size=(arguments.layers, n, arguments.hidden)).astype(np.float32)
    layers += 0.5 * labels[:, None].astype(np.float32)
    layer_metrics(layers[:1, :, :16], labels)
    seconds, metrics = timed(lambda: layer_metrics(layers, labels))
    first = layers[0].astype(np.float64)
    peer, values = timed(lambda: by_dimension(first, labels))
    ours = np.array([metric[0] for metric in metrics.values()])
    difference = np.max(np.abs(ours - values) / np.maximum(np.abs(values), 1e-12))
    return {
        "seconds": seconds,
        "peer_seconds": peer * arguments.layers,
        "ratio": peer * arguments.layers / seconds,
        "difference": float(difference),
    }


def run_here(arguments: argparse.Namespace) -> None:
    """Compare at one number of samples in this process and print the result as JSON."""
    n = arguments.only
    square = np.random.default_rng(_SEED).normal(size=(_SQUARE, _SQUARE))
    rate = 2 * _SQUARE**3 / min(timed(lambda: square @ square)[0] for _ in range(5))
    result: dict[str, Any] = {"operations_per_second": rate, "conventions": {}}
    if arguments.kind == "heads":
        result["kernel"] = largest_kernel(n, arguments)
        result["conventions"] = {name: compare_heads(n, name, arguments) for name in LOOPS}
    else:
        result["layers"] = compare_layers(n, arguments)
    print(json.dumps(result))


def run_apart(kind: str, n: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run `run_here` in a process of its own, on one thread."""
    sizes = [f"--{name.replace('_', '-')}={value}" for name, value in vars(arguments).items() if isinstance(value, int)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-m", __spec__.name, *sizes, f"--only={n}", f"--kind={kind}"]
    done = subprocess.run(command, env=os.environ | threads, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def report_heads(n: int, found: dict[str, Any], arguments: argparse.Namespace) -> str:
    """Return the figures of one number of samples in words."""
    kernel, rate = found["kernel"], found["operations_per_second"]
    reached = kernel["operations"] / kernel["seconds"]
    share = kernel["seconds"] * arguments.heads * arguments.prompts / found["conventions"]["paper"]["seconds"]
    rows = [
        f"N = {n}; a product of {_SQUARE} x {_SQUARE} matrices reaches {rate / 1e9:.1f} GFLOP/s here; the "
        f"{kernel['name']} {reached / 1e9:.1f}, {reached / rate:.0%} of it, and take {share:.0%} of our time:"
    ]
    for convention, one in found["conventions"].items():
        differences = ", ".join(f"{name} {value:.1e}" for name, value in one["differences"].items())
        rows += [
            f"  {convention:<14} vadprobe {one['seconds']:9.3f} s   scikit-learn {one['peer_seconds']:9.1f} s "
            f"(scaled from {one['peer_heads']} heads)   {one['ratio']:7.1f} x",
            f"    largest relative differences: {differences}; equal clusters in {one['same_information']:.0%} of "
            f"the heads; heads {one['heads']}",
        ]
        if "peer_chooses" in one:
            shared = sum(head in one["heads"] for head in one["peer_chooses"])
            rows.append(
                f"    the loop over all heads chooses {one['peer_chooses']}: {shared} of {len(one['heads'])} shared"
            )
    return "\n".join(rows)


def report_layers(n: int, one: dict[str, Any]) -> str:
    """Return the figures of one number of samples in words."""
    return (
        f"  N = {n:<5} vadprobe {one['seconds']:9.3f} s   by dimension {one['peer_seconds']:9.1f} s (scaled from one "
        f"layer)   {one['ratio']:7.1f} x   differs by {one['difference']:.1e}"
    )


def whole(text: str) -> int:
    """Return a positive whole number."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def main() -> None:
    """Read the sizes, run every comparison, print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=whole, nargs="+", default=[16, 40, 200, 1000], help="of the heads")
    parser.add_argument("--layer-samples", type=whole, nargs="+", default=[16, 40, 400])
    parser.add_argument("--heads", type=whole, default=784)
    parser.add_argument("--prompts", type=whole, default=5)
    parser.add_argument("--dimension", type=whole, default=128)
    parser.add_argument("--peer-heads", type=whole, default=24, help="heads of the scikit-learn loop")
    parser.add_argument("--peer-prompts", type=whole, default=1, help="prompts of the scikit-learn loop")
    parser.add_argument("--layers", type=whole, default=29)
    parser.add_argument("--hidden", type=whole, default=3584)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--only", type=whole, help="run this number of samples only, in this process; prints JSON")
    parser.add_argument("--kind", choices=("heads", "layers"), default="heads", help="what --only compares")
    arguments = parser.parse_args()
    if min(*arguments.samples, *arguments.layer_samples) < 6:
        parser.error("at least 6 samples, three of each class, are needed")
    if arguments.only:
        run_here(arguments)
        return
    print(
        f"{arguments.heads} heads of {arguments.dimension} dimensions under {arguments.prompts} prompts, robust "
        "saliency; one thread; seconds of the processor"
    )
    found: dict[str, Any] = {"heads": {}, "layers": {}}
    for n in arguments.samples:
        found["heads"][n] = run_apart("heads", n, arguments)
        print(report_heads(n, found["heads"][n], arguments), flush=True)
    print(f"{arguments.layers} layers of {arguments.hidden} dimensions, the three metrics of layers")
    for n in arguments.layer_samples:
        found["layers"][n] = run_apart("layers", n, arguments)["layers"]
        print(report_layers(n, found["layers"][n]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
