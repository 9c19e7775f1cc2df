"""The passes of the extraction beside what they replace: prompts that share the video, and the cost of capturing.

Run ``python benchmarks/extraction.py``. The backbones are tiny, with random weights, of the real classes; the vision
tower's output is computed before the clock. Ways take turns, and the best time of each counts.
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

from vadprobe.extract.backbone import Backbone, describe, load
from vadprobe.extract.capture import capture
from vadprobe.extract.configuration import BackboneConfig
from vadprobe.extract.shared_prefix import capture_prompts, shared_tokens
from vadprobe.extract.tiny_backbone import make_tiny_backbone
from vadprobe.store.prompts import SHIPPED


def backbone_of(family: str, folder: Path, sizes: argparse.Namespace) -> Backbone:
    """A tiny backbone that sees frames of the wanted size."""
    path = make_tiny_backbone(folder / family, family)
    size = (sizes.height, sizes.width) if family == "qwen2_5_vl" else None
    config = BackboneConfig(key="tiny", path=str(path), dtype=sizes.dtype, frame_size=size)
    return load(describe(config, path), sizes.device, sizes.threads, compiled=sizes.compile)


def best(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Seconds of each way, the best of some rounds in which they take turns."""
    seconds = dict.fromkeys(ways, float("inf"))
    for way in ways.values():
        way()
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


@torch.inference_mode()
def measure(family: str, folder: Path, sizes: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the ways, and the largest difference between their features."""
    backbone = backbone_of(family, folder, sizes)
    kind, answers, model, parts = (
        backbone.description.family, backbone.description.answer_ids, backbone.model, backbone.parts,
    )  # fmt: skip
    make = np.random.default_rng(0)
    clips = [make.integers(0, 256, (sizes.frames, 64, 64, 3), dtype=np.uint8) for _ in range(sizes.clips)]
    inputs = kind.prepare(clips, [1.0] * len(clips), backbone.device)
    encoded = kind.encode(model, inputs)
    texts = [prompt.text for prompt in SHIPPED.values()][: sizes.prompts]
    taken = [kind.language_inputs(kind.tokenize(text, sizes.frames).to(backbone.device), inputs) for text in texts]
    prefix = shared_tokens(kind, sizes.frames)
    n_shared = 0 if prefix is None else len(prefix)

    def own_passes() -> list[Any]:
        return [capture(model, parts, {**one, "mm_encoder_outputs": dict(encoded)}, answers) for one in taken]

    def one_pass() -> list[Any]:
        return list(capture_prompts(model, parts, taken, dict(encoded), answers, n_shared))

    def plain() -> Any:
        return model.model(**taken[0], mm_encoder_outputs=dict(encoded), use_cache=False)

    def captured() -> Any:
        return capture(model, parts, {**taken[0], "mm_encoder_outputs": dict(encoded)}, answers)

    seconds = best({"own": own_passes, "shared": one_pass, "plain": plain, "captured": captured}, sizes.repeats)
    difference = max(
        float((getattr(mine, name) - getattr(theirs, name)).abs().max())
        for mine, theirs in zip(one_pass(), own_passes(), strict=True)
        for name in ("hidden_states", "head_outputs", "answer_logits")
    )
    lengths = [int(one["input_ids"].shape[1]) for one in taken]
    bound = sum(lengths) / (n_shared + sum(length - n_shared for length in lengths))
    return {"seconds": seconds, "difference": difference, "shared": n_shared, "lengths": lengths, "bound": bound}


def main() -> None:
    """Read the sizes, measure every family, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=["qwen2_5_vl", "internvl"])
    for name, default in (("frames", 16), ("height", 448), ("width", 448), ("clips", 1), ("prompts", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--compile", action="store_true", help="compile the language model's blocks before the clock")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    sizes = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for family in sizes.families:
            one = found[family] = measure(family, Path(folder), sizes)
            seconds = one["seconds"]
            print(f"{family}: {one['shared']} of {one['lengths']} tokens shared, {sizes.clips} clips, {sizes.device}")
            print(
                f"  {len(one['lengths'])} prompts: own passes {seconds['own']:.4f} s, one {seconds['shared']:.4f} s, "
                f"{seconds['own'] / seconds['shared']:.2f} x (bound by tokens {one['bound']:.2f} x), "
                f"largest difference {one['difference']:.1e}"
            )
            print(
                f"  one prompt: plain forward {seconds['plain']:.4f} s, capture {seconds['captured']:.4f} s, "
                f"{100 * (seconds['captured'] / seconds['plain'] - 1):+.1f} %",
                flush=True,
            )
    if sizes.json:
        sizes.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
