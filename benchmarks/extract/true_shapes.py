"""Models of true shape on a CPU, from video files to a committed store: seconds by phase, rates, memory.

Run `python -m benchmarks.extract.true_shapes`. The models have their published configurations and random-normal
weights. Each case, a shape in a dtype with a number of prompts, is one extraction in a process of its own. Afterwards
the matrix products of its phases are repeated alone, with the same shapes: their share of a phase's seconds is the
utilisation. Seconds of phases are processor time, which other work on the machine disturbs least; with one thread, it
equals the time by the clock on a machine at rest. Decoding runs in a process of its own, so its seconds are by the
clock. `--dry-run` takes tiny shapes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.extract.extraction_end_to_end import write_video
from benchmarks.support.backbone_shapes import SHAPES, describe_shape, make_backbone
from benchmarks.support.machine import machine
from benchmarks.support.timed import timed
from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.forward import Forward
from vadprobe.extract.model.shared_prefix import SharedPrefix
from vadprobe.extract.pipeline.claim_loop import Listener, compute_pending
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.host_copies import HostCopies
from vadprobe.extract.pipeline.planning import plan_extraction
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.writing.writer import StoreWriter

TINY = ("llava_onevision", "internvl", "qwen2_5_vl")
MODEL_PHASES = ("vision tower", "prefix", "suffixes")
Shape = tuple[int, int, int]
"""Rows, inner size and columns of a product."""


class Products:
    """Counts the products of the model's linear layers by phase and shape."""

    def __init__(self) -> None:
        self.phase, self.counts = "", Counter[tuple[str, Shape]]()

    def begin(self, phase: str) -> None:
        """Count the following products for another phase; phases outside the model have none."""
        if phase in MODEL_PHASES:
            self.phase = phase

    def _count(self, layer: nn.Linear, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        rows = output.numel() // output.shape[-1]
        self.counts[self.phase, (rows, layer.in_features, layer.out_features)] += 1

    @contextmanager
    def watch(self, model: nn.Module) -> Iterator[None]:
        """Count the products of a model inside."""
        layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
        hooks = [layer.register_forward_hook(self._count) for layer in layers]
        yield
        for hook in hooks:
            hook.remove()

    @torch.inference_mode()
    def alone(self, dtype: torch.dtype) -> dict[str, dict[str, float]]:
        """Return seconds and operations of the products by phase.

        One product of each shape is timed alone: the better of two, after one to warm up.
        """
        found = {phase: {"products": 0.0, "operations": 0.0} for phase in MODEL_PHASES}
        seconds: dict[Shape, float] = {}
        for (phase, shape), count in self.counts.items():
            if phase not in found:
                continue
            if shape not in seconds:
                seconds[shape] = _product_seconds(shape, dtype)
            rows, inner, columns = shape
            found[phase]["products"] += count * seconds[shape]
            found[phase]["operations"] += count * 2.0 * rows * inner * columns
        return found


def _product_seconds(shape: Shape, dtype: torch.dtype) -> float:
    rows, inner, columns = shape
    left, weight = torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype)
    taken = []
    for _ in range(3):
        begun = time.process_time()
        nn.functional.linear(left, weight)
        taken.append(time.process_time() - begun)
    return min(taken[1:])


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def extract(backbone: Backbone, folder: Path, sizes: argparse.Namespace) -> dict[str, Any]:
    """Plan, extract and commit with a loaded backbone, and return the seconds of the whole and of its phases."""
    description = backbone.description
    config = ExtractionConfig(device="cpu", threads=sizes.threads, batch_clips=sizes.batch)
    sampling = SamplingConfig(unit="segment", clip_length=3 * sizes.frames, frames_per_clip=sizes.frames)
    prompts = list(SHIPPED.values())[: sizes.prompts]
    seconds: dict[str, float] = {}
    products = Products()
    wrapped = (
        (Decoder, "read_clip", "decode"),
        (type(description.family), "resize", "resize"),
        (type(description.family), "prepare", "pixels"),
        (type(description.family), "encode", "vision tower"),
        (SharedPrefix, "__init__", "prefix"),
        (SharedPrefix, "positions", "suffixes"),
        (HostCopies, "put", "copy"),
        (StoreWriter, "write_partition", "write"),
        (StoreWriter, "commit", "commit"),
    )
    with ExitStack() as stack:
        for owner, name, label in wrapped:
            clock = time.perf_counter if label == "decode" else time.process_time  # decoding is another process
            stack.enter_context(timed(owner, name, seconds, label, products.begin, clock))
        stack.enter_context(products.watch(backbone.model))
        begun = time.perf_counter()
        dataset = open_dataset(DatasetConfig(name="videos", videos=str(folder / "videos")), Path())
        plan = plan_extraction(dataset, folder / "features", [sampling], prompts, description, config)
        extractor = Extractor(dataset, plan, description, config)
        extractor.forward = Forward(backbone)
        compute_pending(extractor, Listener())
        extractor.commit()
        wall = time.perf_counter() - begun
    alone = products.alone(getattr(torch, sizes.dtype))
    for phase, one in alone.items():
        one["utilisation"] = one["products"] / seconds[phase]
        one["rate"] = one["operations"] / seconds[phase]
    return {"wall": wall, "seconds": seconds, "phases": alone, "clips": len(plan.samplings[0].clips)}


def run_here(sizes: argparse.Namespace) -> dict[str, Any]:
    """Make the model and the video, extract, and return seconds, rates and memory."""
    torch.set_num_threads(sizes.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "videos").mkdir()
        write_video(folder / "videos" / "video.mp4", 3 * sizes.frames * sizes.clips)
        description = describe_shape(sizes.case, folder / "shape", sizes.dtype, (448, 448))
        backbone = make_backbone(description, "cpu")
        weights = sum(one.numel() * one.element_size() for one in backbone.model.parameters())
        loaded = peak_bytes()
        found = extract(backbone, folder, sizes)
    return {**found, "weights": weights, "loaded": loaded, "peak": peak_bytes(), "load": os.getloadavg()[0]}


def run_apart(shape: str, dtype: str, prompts: int, sizes: argparse.Namespace) -> dict[str, Any]:
    """Run one case in a process of its own."""
    options = [f"--case={shape}", f"--dtypes={dtype}", f"--prompts={prompts}"]
    options += [f"--{name}={getattr(sizes, name)}" for name in ("frames", "clips", "batch", "threads")]
    command = [sys.executable, "-m", __spec__.name, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {"shape": shape, "dtype": dtype, "prompts": prompts, **found}


def line(case: dict[str, Any]) -> str:
    """Return one case in words."""
    phases = ", ".join(f"{name} {seconds:.2f}" for name, seconds in case["seconds"].items())
    rates = ", ".join(
        f"{name} {one['rate'] / 1e9:.0f} GFLOP/s, {one['utilisation']:.2f} of the products alone"
        for name, one in case["phases"].items()
    )
    return (
        f"{case['shape']}, {case['dtype']}, {case['prompts']} prompts, {case['clips']} clips: {case['wall']:.1f} s, "
        f"load {case['load']:.1f}; {phases}\n  {rates}\n  weights {case['weights'] / 1e9:.2f} GB, the process at most "
        f"{case['peak'] / 1e9:.2f} GB ({case['peak'] / case['weights']:.2f} times), before the clips "
        f"{case['loaded'] / 1e9:.2f} GB"
    )


def main() -> None:
    """Read the sizes, run every case, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["LLaVA-OneVision-0.5B", "InternVL3-1B"])
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    parser.add_argument("--prompts", type=int, nargs="+", default=[1, 5])
    for name, default in (("frames", 8), ("clips", 2), ("batch", 1), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dry-run", action="store_true", help="tiny shapes in place of the true ones")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--case", choices=list(SHAPES), help="run this shape only, in this process; prints JSON")
    sizes = parser.parse_args()
    if sizes.case:
        (sizes.dtype,), (sizes.prompts,) = sizes.dtypes, sizes.prompts
        print(json.dumps(run_here(sizes)))
        return
    found: dict[str, Any] = {"cases": [], **machine(("torch", "transformers", "av"))}
    for shape, dtype, prompts in product(TINY if sizes.dry_run else sizes.shapes, sizes.dtypes, sizes.prompts):
        found["cases"].append(run_apart(shape, dtype, prompts, sizes))
        print(line(found["cases"][-1]), flush=True)
        if sizes.json:
            sizes.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
