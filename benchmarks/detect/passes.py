"""Parts that the benchmarks of detection share: a loaded backbone with random segments, and runs in turns."""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vadprobe.extract.configuration import BackboneConfig, ExtractionConfig
from vadprobe.extract.families.family import Pass
from vadprobe.extract.model.backbone import Backbone, describe, load
from vadprobe.extract.model.chosen_parts import ChosenParts
from vadprobe.extract.model.forward import Forward
from vadprobe.extract.pipeline.recipe import input_recipe
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.specification import FeatureSpec


def options_of(description: str | None) -> argparse.ArgumentParser:
    """Return the options that the benchmarks of one pass have in common."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", type=Path, help="checkpoint folder; by default a tiny one with random weights")
    parser.add_argument("--size", type=int, nargs=2, default=(112, 168), help="height and width in pixels")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--clips", type=int, default=1, help="segments per pass")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--heads", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    return parser


@dataclass(frozen=True)
class Segments:
    """A batch of segments, and the backbone that they pass through."""

    backbone: Backbone
    features: FeatureSpec
    clips: Sequence[object]
    seconds: Sequence[float]

    @classmethod
    def prepare(cls, options: argparse.Namespace, path: Path) -> "Segments":
        """Load a checkpoint and draw segments of random pixels."""
        config = BackboneConfig(key="backbone", path=str(path), dtype="float32", frame_size=tuple(options.size))
        backbone = load(describe(config, path), options.device, options.threads)
        described, prompt = backbone.description, SHIPPED["coarse"]
        sampling = Sampling("segment", 2 * options.frames, options.frames)
        recipe = input_recipe(described, prompt, sampling, ExtractionConfig(), options.device)
        generator = np.random.default_rng(0)
        shape = (options.frames, *options.size, 3)
        pixels = [generator.integers(0, 256, shape, dtype=np.uint8) for _ in range(options.clips)]
        return cls(
            backbone,
            FeatureSpec("", "", 0, sampling, described.spec, prompt, recipe),
            [described.family.resize(clip) for clip in pixels],
            [2.0] * options.clips,
        )

    def in_one_pass(self) -> "Segments":
        """Return the same segments for a store whose prompts share no tokens: one pass then includes the prefix."""
        recipe = {**self.features.recipe, "prefix": "independent"}
        return replace(self, features=replace(self.features, recipe=recipe))

    @cached_property
    def forward(self) -> Forward:
        """The backbone's passes."""
        return Forward(self.backbone)

    def full(self) -> Tensor:
        """Capture everything, and return all heads, (clips, blocks, heads, head size)."""
        return next(iter(self.forward(self.clips, self.seconds, [self.features], self.n_layers))).head_outputs

    def chosen(self, parts: ChosenParts) -> Tensor:
        """Return chosen heads, (clips, values), of a pass that ends behind the deepest."""
        return self.forward.chosen(self.clips, self.seconds, self.features, parts)

    @torch.inference_mode()
    def see(self) -> Pass:
        """Run the vision tower, and return the language model's inputs."""
        family, model = self.backbone.description.family, self.backbone.model
        (found,) = next(family.passes(model, self.backbone.device, self.clips, self.seconds, [self.features]))
        return found

    @property
    def n_layers(self) -> int:
        """Number of blocks of the language model."""
        return self.backbone.description.spec.n_layers

    def heads(self, count: int, depth: int) -> tuple[tuple[int, int], ...]:
        """Return (block, head) of at most `count` heads, spread over the first `depth` blocks, the deepest first."""
        n_heads = self.backbone.description.spec.n_heads
        return tuple(((depth - 1 - number) % depth, number % n_heads) for number in range(min(count, depth * n_heads)))


@dataclass(frozen=True)
class Taken:
    """Times of the runs of one way: seconds by the clock, and the cost in seconds by which ways are compared."""

    clock: Sequence[float]
    cost: Sequence[float]

    @property
    def fastest(self) -> float:
        """The smallest cost, which other work on the machine disturbs least."""
        return min(self.cost)

    def against(self, other: "Taken") -> float:
        """Return the median over the turns of this way's cost divided by the other's in the same turn."""
        return float(np.median(np.divide(self.cost, other.cost)))

    def latency(self, n_segments: int) -> dict[str, float]:
        """Return median and 95th percentile of a pass over `n_segments` by the clock, in milliseconds per segment."""
        median, high = 1000 * np.quantile(self.clock, [0.5, 0.95]) / n_segments
        return {"p50_ms": float(median), "p95_ms": float(high)}


def in_turns(runs: Mapping[str, Callable[[], object]], repeats: int, device: str) -> dict[str, Taken]:
    """Return the times of every way; ways take turns, so that other work on the machine disturbs all alike.

    On a CPU the cost is processor time: with one thread, it equals the time by the clock on a machine at rest.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(repeats + 1):  # the first warms up
        for name, run in runs.items():
            started, worked = time.perf_counter(), time.process_time()
            run()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            found[name].append((time.perf_counter() - started, time.process_time() - worked))
    by_clock = {name: [clock for clock, _ in spent[1:]] for name, spent in found.items()}
    worked_by = {name: [cost for _, cost in spent[1:]] for name, spent in found.items()}
    return {name: Taken(by_clock[name], worked_by[name] if device == "cpu" else by_clock[name]) for name in runs}
