"""The passes of an extraction beside plain passes: prompts that share the video, capturing, ending early.

Run `python -m benchmarks.extract.extraction`; with a GPU `python -m benchmarks.extract.extraction --device cuda
--dtype bfloat16 --backbones InternVL3-8B Qwen2.5-VL-7B --clips 8 --frames 8`. Weights are random, classes the real
ones. Ways take turns, and the best time of each counts. Utilisation is measured against the rate of a product of two
large matrices in the same dtype, timed in the same run.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.support.backbone_shapes import SHAPES, describe_shape, make_backbone
from benchmarks.support.machine import machine
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.capture import capture
from vadprobe.extract.model.devices import choose_device
from vadprobe.extract.model.shared_prefix import SharedPrefix
from vadprobe.store.format.prompts import SHIPPED

Ways = dict[str, Callable[[], Any]]


def settled(device: torch.device) -> float:
    """Return the time once the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def best(ways: Ways, repeats: int, device: torch.device) -> dict[str, float]:
    """Return the seconds of each way, the best of some rounds in which they take turns."""
    seconds = dict.fromkeys(ways, float("inf"))
    for way in ways.values():
        way()
    for _ in range(repeats):
        for name, way in ways.items():
            start = settled(device)
            way()
            seconds[name] = min(seconds[name], settled(device) - start)
    return seconds


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the floating point operations per second of a large matrix product."""
    size = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return float(2 * size**3 / best({"product": lambda: left @ right}, 5, device)["product"])


def peak_memory(ways: Ways, device: torch.device) -> dict[str, int]:
    """Return the bytes that each way takes on a GPU beside the weights; empty on the CPU, where nothing counts them."""
    found: dict[str, int] = {}
    for name, way in ways.items() if device.type == "cuda" else ():
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        way()
        found[name] = torch.cuda.max_memory_allocated(device) - before
    return found


class Passes:
    """The ways to run some clips and prompts through one backbone."""

    def __init__(self, backbone: Backbone, sizes: argparse.Namespace) -> None:
        self.backbone, description = backbone, backbone.description
        self.model, self.parts, self.answers = backbone.model, backbone.parts, description.answer_ids
        family = description.family
        make = np.random.default_rng(0)
        clips = [make.integers(0, 256, (sizes.frames, 64, 64, 3), dtype=np.uint8) for _ in range(sizes.clips)]
        self.inputs = family.prepare(clips, [1.0] * len(clips), backbone.device)
        self.encoded = family.encode(self.model, self.inputs)
        texts = [prompt.text for prompt in SHIPPED.values()][: sizes.prompts]
        self.taken = [
            family.language_inputs(family.tokenize(text, sizes.frames).to(backbone.device), self.inputs)
            for text in texts
        ]
        prefix = family.shared_tokens(sizes.frames)
        self.n_shared = 0 if prefix is None else len(prefix)
        self.lengths = [int(one["input_ids"].shape[1]) for one in self.taken]

    def vision(self) -> Any:
        """Run the vision tower alone."""
        return self.backbone.description.family.encode(self.model, self.inputs)

    def plain(self) -> Any:
        """Run one prompt, and capture nothing."""
        return self.model.model(**self.taken[0], mm_encoder_outputs=dict(self.encoded), use_cache=False)

    def captured(self, n_blocks: int | None = None) -> Any:
        """Run one prompt, and capture every layer and head, or those up to some block."""
        inputs = {**self.taken[0], "mm_encoder_outputs": dict(self.encoded)}
        return capture(self.model, self.parts, inputs, self.answers, None, n_blocks)

    def own(self) -> list[Any]:
        """Run a pass for each prompt."""
        return [
            capture(self.model, self.parts, {**one, "mm_encoder_outputs": dict(self.encoded)}, self.answers)
            for one in self.taken
        ]

    def shared(self) -> list[Any]:
        """Run one pass over the video for all prompts."""
        first = {**self.taken[0], "mm_encoder_outputs": dict(self.encoded)}
        prefix = SharedPrefix(self.model, self.parts, first, self.n_shared)
        return [prefix.features(one, self.answers) for one in self.taken]

    def ways(self) -> Ways:
        """Return the ways by name."""
        n_blocks = len(self.parts.blocks)
        return {
            "vision tower": self.vision,
            "plain": self.plain,
            "captured": self.captured,
            "half the blocks": lambda: self.captured(n_blocks // 2),
            "own passes": self.own,
            "shared prefix": self.shared,
        }

    @property
    def bound(self) -> float:
        """Return the largest possible speed-up by sharing, from the numbers of tokens."""
        rest = sum(length - self.n_shared for length in self.lengths)
        return sum(self.lengths) / (self.n_shared + rest)


@torch.inference_mode()
def measure(name: str, folder: Path, sizes: argparse.Namespace, peak: float) -> dict[str, Any]:
    """Measure seconds and arithmetic of the ways, and the largest difference of features with and without sharing."""
    device = choose_device(sizes.device)
    description = describe_shape(name, folder, sizes.dtype, (sizes.height, sizes.width))
    passes = Passes(make_backbone(description, device, sizes.compile), sizes)
    ways = passes.ways()
    with FlopCounterMode(display=False) as counted:
        passes.plain()
    seconds = best(ways, sizes.repeats, device)
    difference = max(
        float((getattr(mine, part).float() - getattr(theirs, part).float()).abs().max())
        for mine, theirs in zip(passes.shared(), passes.own(), strict=True)
        for part in ("hidden_states", "head_outputs", "answer_logits")
    )
    return {
        "seconds": seconds,
        "difference": difference,
        "shared": passes.n_shared,
        "lengths": passes.lengths,
        "bound": passes.bound,
        "flops": counted.get_total_flops(),
        "utilisation": counted.get_total_flops() / seconds["plain"] / peak,
        "peak_memory": peak_memory(ways, device),
    }


def table(name: str, one: dict[str, Any], sizes: argparse.Namespace) -> str:
    """Return one backbone's results as text."""
    seconds = one["seconds"]
    own, shared, plain = seconds["own passes"], seconds["shared prefix"], seconds["plain"]
    captured, half = seconds["captured"], seconds["half the blocks"]
    lines = [
        f"{name}: {one['shared']} of {one['lengths']} tokens shared, {sizes.clips} clips of {sizes.frames} frames, "
        f"{sizes.dtype}, {sizes.device}",
        f"  {len(one['lengths'])} prompts: own passes {own:.4f} s, one {shared:.4f} s, {own / shared:.2f} x "
        f"(bound by tokens {one['bound']:.2f} x), largest difference {one['difference']:.1e}",
        f"  one prompt: plain forward {plain:.4f} s, capture {captured:.4f} s, {100 * (captured / plain - 1):+.1f} %; "
        f"half the blocks {half:.4f} s, {captured / half:.2f} x",
        f"  the language model's {one['flops'] / 1e12:.3f} TFLOP: {100 * one['utilisation']:.0f} % of a large matrix "
        f"product's rate; vision tower {seconds['vision tower']:.4f} s",
    ]
    if one["peak_memory"]:
        gigabytes = ", ".join(f"{way} {n_bytes / 1e9:.2f} GB" for way, n_bytes in one["peak_memory"].items())
        lines.append(f"  memory beside the weights: {gigabytes}")
    return "\n".join(lines)


def main() -> None:
    """Read the sizes, measure every backbone, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", choices=list(SHAPES), default=list(SHAPES)[:4], metavar="NAME")
    for name, default in (("frames", 16), ("height", 448), ("width", 448), ("clips", 1), ("prompts", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--compile", action="store_true", help="compile the language model's blocks before the clock")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    sizes = parser.parse_args()
    device = choose_device(sizes.device)
    if device.type == "cpu" and {"InternVL3-8B", "Qwen2.5-VL-7B"} & set(sizes.backbones):
        parser.error("the true shapes take minutes per pass on a CPU and 32 GB in float32; give --device cuda")
    torch.set_num_threads(sizes.threads)
    peak = matmul_peak(device, getattr(torch, sizes.dtype))
    print(f"a large matrix product in {sizes.dtype}: {peak / 1e12:.3f} TFLOP/s")
    found: dict[str, Any] = {"peak": peak, **machine(("torch", "transformers"))}
    if device.type == "cuda":
        found["processor"] = torch.cuda.get_device_name(device)
    with tempfile.TemporaryDirectory() as folder:
        for name in sizes.backbones:
            found[name] = measure(name, Path(folder), sizes, peak)
            print(table(name, found[name], sizes), flush=True)
    if sizes.json:
        found["sizes"] = {key: value for key, value in vars(sizes).items() if key != "json"}
        sizes.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
