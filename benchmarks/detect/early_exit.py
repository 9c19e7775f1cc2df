"""Early exit and targeted capture against the full pass with full capture: `python -m benchmarks.detect.early_exit`.

Seconds are the fastest of the repeats, which other work on the machine disturbs least; on a CPU, of processor time.
The bound of k of L blocks is the measured time of pixels and vision tower plus k / L of the rest.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.detect.passes import Segments, in_turns, options_of
from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone
from vadprobe.extract.model.chosen_parts import ChosenParts

FULL, VISION = "all blocks, everything captured", "vision tower"


def main() -> None:
    """Measure, print, and write JSON if asked for."""
    options = options_of(__doc__).parse_args()
    with TemporaryDirectory() as folder:
        path = options.backbone or make_tiny_backbone(Path(folder) / "tiny", "qwen2_5_vl")
        found = measure(options, path)
    for name, case in found["cases"].items():
        print(
            f"{name}: {1000 * case['seconds']:.1f} ms, ratio {case['ratio']:.2f} (bound {case['bound']:.2f}), "
            f"a segment {case['p50_ms']:.1f} ms (p95 {case['p95_ms']:.1f}), difference {case['difference']:.1e}"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def measure(options: argparse.Namespace, path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return seconds of the full pass and of passes to several depths, their ratios, bounds and differences."""
    segments = Segments.prepare(options, path)
    whole, n_layers = segments.full(), segments.n_layers
    runs: dict[str, Callable[[], object]] = {FULL: segments.full, VISION: segments.see}
    cases = {FULL: {"share": 1.0, "difference": 0.0}}
    for depth in sorted({1, max(1, n_layers // 2), n_layers}):
        chosen = ChosenParts("head", segments.heads(options.heads, depth))
        wanted = torch.cat([whole[:, block, head] for block, head in chosen.indices], dim=1)
        difference = float((segments.chosen(chosen) - wanted).abs().max())
        name = f"{depth} of {n_layers} blocks, {len(chosen.indices)} heads"
        runs[name] = partial(segments.chosen, chosen)
        cases[name] = {"share": depth / n_layers, "difference": difference}
    taken = in_turns(runs, options.repeats, options.device)
    spent = {name: found.fastest for name, found in taken.items()}
    for name, case in cases.items():
        bound = spent[VISION] + case.pop("share") * (spent[FULL] - spent[VISION])
        case.update({"seconds": spent[name], "ratio": spent[name] / spent[FULL], "bound": bound / spent[FULL]})
        case.update(taken[name].latency(options.clips))
    return {"cases": cases}


if __name__ == "__main__":
    main()
