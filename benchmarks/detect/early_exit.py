"""Early exit and targeted capture against the full pass with full capture: `python -m benchmarks.detect.early_exit`.

Seconds are the fastest of the repeats, which other work on the machine disturbs least. The bound of k of L blocks is
the measured time of pixels and vision tower, and k / L of the rest.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from vadprobe.extract.configuration import BackboneConfig, ExtractionConfig
from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone
from vadprobe.extract.model.backbone import describe, load
from vadprobe.extract.model.chosen_parts import ChosenParts
from vadprobe.extract.model.forward import Forward
from vadprobe.extract.pipeline.recipe import input_recipe
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import FeatureSpec

FULL, VISION = "all blocks, everything captured", "vision tower"


def fastest(runs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the seconds of the fastest run of each, taken in turns, so that other work disturbs all alike."""
    found = {name: [] for name in runs}
    for _ in range(repeats + 1):  # the first warms up
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            found[name].append(time.perf_counter() - started)
    return {name: min(seconds[1:]) for name, seconds in found.items()}


def main() -> None:
    """Measure, print, and write JSON if asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", type=Path, help="checkpoint folder; by default a tiny one with random weights")
    parser.add_argument("--size", type=int, nargs=2, default=(112, 168), help="height and width in pixels")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--clips", type=int, default=1, help="segments per pass")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--heads", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        path = options.backbone or make_tiny_backbone(Path(folder) / "tiny", "qwen2_5_vl")
        found = measure(options, path)
    for name, case in found["cases"].items():
        print(
            f"{name}: {1000 * case['seconds']:.1f} ms, ratio {case['ratio']:.2f} (bound "
            f"{case['bound']:.2f}), difference {case['difference']:.1e}"
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def measure(options: argparse.Namespace, path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return seconds of the full pass and of passes to several depths, their ratios, bounds and differences."""
    config = BackboneConfig(key="backbone", path=str(path), dtype="float32", frame_size=tuple(options.size))
    backbone = load(describe(config, path), options.device, options.threads)
    spec, forward = backbone.description.spec, Forward(backbone)
    prompt, sampling = SHIPPED["coarse"], Sampling("segment", 2 * options.frames, options.frames)
    recipe = input_recipe(backbone.description, prompt, sampling, ExtractionConfig(), options.device)
    features = FeatureSpec("", "", 0, sampling, spec, prompt, recipe)
    generator = np.random.default_rng(0)
    shape = (options.frames, *options.size, 3)
    pixels = [generator.integers(0, 256, shape, dtype=np.uint8) for _ in range(options.clips)]
    clips, seconds = [backbone.description.family.resize(clip) for clip in pixels], [2.0] * options.clips

    def full() -> torch.Tensor:
        return next(iter(forward(clips, seconds, [features], spec.n_layers))).head_outputs

    @torch.inference_mode()
    def see() -> object:
        return next(backbone.description.family.passes(backbone.model, backbone.device, clips, seconds, [features]))

    whole, n_layers = full(), spec.n_layers
    runs: dict[str, Callable[[], object]] = {FULL: full, VISION: see}
    cases = {FULL: {"share": 1.0, "difference": 0.0}}
    for depth in sorted({1, max(1, n_layers // 2), n_layers}):
        count = min(options.heads, depth * spec.n_heads)
        heads = [((depth - 1 - number) % depth, number % spec.n_heads) for number in range(count)]
        chosen = ChosenParts("head", tuple(heads))
        wanted = torch.cat([whole[:, block, head] for block, head in chosen.indices], dim=1)
        mine = forward.chosen(clips, seconds, features, chosen)
        name = f"{depth} of {n_layers} blocks, {count} heads"
        runs[name] = partial(forward.chosen, clips, seconds, features, chosen)
        cases[name] = {"share": depth / n_layers, "difference": float((mine - wanted).abs().max())}
    spent = fastest(runs, options.repeats)
    for name, case in cases.items():
        bound = spent[VISION] + case.pop("share") * (spent[FULL] - spent[VISION])
        case |= {"seconds": spent[name], "ratio": spent[name] / spent[FULL], "bound": bound / spent[FULL]}
    return {"cases": cases}


if __name__ == "__main__":
    main()
