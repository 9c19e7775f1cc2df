"""Significance of the five chosen heads under the permutation null, with planted robust heads and with none.

Run `python -m benchmarks.analyze.planted_null`. RHI ranks every head of a draw, then again under relabelings of its
videos; a head is significant if, in fewer than 5 % of the relabelings, some head has at least its robust saliency
(family-wise).
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.analyze.planted_heads import TOP, WEIGHT
from benchmarks.support.planted_signal import PlantedSample, Planting
from vadprobe.analyze.probes.unit_probing import cross_fitted_auc
from vadprobe.analyze.saliency.heads import head_metrics
from vadprobe.analyze.saliency.null.heads import head_null
from vadprobe.analyze.saliency.null.permutations import chance, permuted_labels
from vadprobe.analyze.saliency.ranking import rhi

LEVEL = 0.05


def one_draw(planting: Planting, n_videos: int, permutations: int, draw: int) -> dict[str, float]:
    """Return how many of one draw's chosen heads are planted, how many significant, and their cross-fitted AUC."""
    sample = PlantedSample.of(replace(planting, seed=planting.seed + draw), n_videos, anomalous=0.5, draw=draw)
    features = {prompt: sample.heads(prompt) for prompt in planting.prompts}
    found = rhi({key: head_metrics(heads, sample.labels, 0) for key, heads in features.items()}, WEIGHT, TOP)
    labelings = permuted_labels(sample.labels, np.arange(n_videos), permutations, draw)
    nulls = {key: head_null(heads, labelings, 0) for key, heads in features.items()}
    null = [
        rhi({key: {name: values[number] for name, values in of.items()} for key, of in nulls.items()}, WEIGHT, 1).robust
        for number in range(permutations)
    ]
    seen = chance(found.robust, np.stack(null))
    first = features[planting.prompts[0]]
    auc = cross_fitted_auc(first, sample.labels, np.arange(n_videos), 4, draw)
    robust = set(sample.signal.truth.robust) if planting.strength else set()
    planted = [head in robust for head in found.heads]
    significant = [seen.familywise[head] <= LEVEL for head in found.heads]
    alone = [seen.p_value[head] <= LEVEL for head in found.heads]
    return {
        "planted": float(np.mean(planted)),
        "significant_of_planted": float(
            np.mean([s for s, p in zip(significant, planted, strict=True) if p] or [np.nan])
        ),
        "significant_of_others": float(
            np.mean([s for s, p in zip(significant, planted, strict=True) if not p] or [np.nan])
        ),
        "any_significant": float(any(significant)),
        "alone_of_others": float(np.mean([a for a, p in zip(alone, planted, strict=True) if not p] or [np.nan])),
        "auc_of_chosen": float(np.mean([auc[head] for head in found.heads])),
        "auc_best_of_all": float(auc.max()),
    }


ROWS = {
    "planted": "share of the top five that is planted",
    "significant_of_planted": "planted ones among them that are significant",
    "significant_of_others": "others among them that are significant",
    "any_significant": "draws with any significant head",
    "alone_of_others": "others whose own p-value is below 0.05",
    "auc_of_chosen": "cross-fitted AUC of the chosen heads",
    "auc_best_of_all": "best cross-fitted AUC of all heads",
}


def main() -> None:
    """Read the sizes, draw, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, nargs="+", default=[16, 40])
    parser.add_argument("--draws", type=int, nargs="+", default=[40, 8], help="for each number of videos")
    parser.add_argument("--permutations", type=int, default=99)
    parser.add_argument("--layers", type=int, default=14)
    parser.add_argument("--heads", type=int, default=14, help="of each layer")
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--strength", type=float, default=3.0)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    planting = Planting(
        n_layers=arguments.layers,
        n_heads=arguments.heads,
        head_dim=arguments.head_dim,
        prompts=tuple(f"prompt{number}" for number in range(5)),
        robust=5,
        unstable=0,
        strength=arguments.strength,
        shared=0.5,
    )
    found: dict[str, Any] = {}
    for name, planted in {"five robust heads": planting, "nothing": replace(planting, strength=0.0)}.items():
        found[name] = {}
        print(f"{name} planted among {arguments.layers * arguments.heads} heads, {arguments.permutations} relabelings")
        for n_videos, count in zip(arguments.videos, arguments.draws, strict=True):
            draws = [one_draw(planted, n_videos, arguments.permutations, draw) for draw in range(count)]
            found[name][str(n_videos)] = {
                row: [None if np.isnan(draw[row]) else draw[row] for draw in draws] for row in ROWS
            }
            for row, text in ROWS.items():
                values = [draw[row] for draw in draws if not np.isnan(draw[row])]
                shown = f"{np.mean(values):.2f}" if values else "-"
                print(f"  N = {n_videos} ({count} draws)  {text:<48}{shown:>8}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
