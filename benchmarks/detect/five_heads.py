"""Capture of a few heads against nnsight and against plain hooks: `python -m benchmarks.detect.five_heads`.

All ways run the same vision tower and the same blocks on the same segments, in turns; they differ in what they keep,
and in where they stop. A ratio is the median over the turns, on a CPU of processor time; seconds are the fastest. The
bound of a way is a pass that keeps nothing: a whole pass, or, where the way ends behind block k of L, the vision tower
plus k / L of the rest. nnsight takes part where it is installed, without changing torch and transformers:

    pip install --target DIRECTORY --no-deps nnsight==0.8.1 websocket-client zstandard cloudpickle greenlet
    PYTHONPATH=DIRECTORY python -m benchmarks.detect.five_heads
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from benchmarks.detect.passes import Segments, in_turns, options_of
from benchmarks.support.machine import machine
from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone
from vadprobe.extract.model.chosen_parts import ChosenParts

PLAIN, VISION = "plain pass, nothing kept", "vision tower"
Heads = Sequence[tuple[int, int]]


def run_to_end(segments: Segments) -> Any:
    """Run all blocks, keep nothing."""
    return segments.backbone.model.model(**segments.see().inputs, use_cache=False)


@torch.inference_mode()
def with_hooks(segments: Segments, heads: Heads) -> Tensor:
    """Keep every block's output and every head with hooks, as scripts do, and take the chosen heads at the end."""
    kept: list[Tensor] = []
    inputs: list[Tensor] = []
    parts = segments.backbone.parts
    hooks = [block.register_forward_hook(lambda *args: kept.append(args[2])) for block in parts.blocks]
    hooks += [
        projection.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        for projection in parts.projections
        if projection is not None
    ]
    try:
        run_to_end(segments)
    finally:
        for hook in hooks:
            hook.remove()
    behind = dict(
        zip([block for block, found in enumerate(parts.projections) if found is not None], inputs, strict=True)
    )
    sizes = {block: parts.shapes[block][1] for block, _ in heads}
    return torch.cat(
        [behind[block][:, -1, head * sizes[block] : (head + 1) * sizes[block]] for block, head in heads], dim=1
    )


@torch.inference_mode()
def with_nnsight(segments: Segments, traced: Any, heads: Heads, *, stops: bool) -> Tensor:
    """Keep the projections' inputs of the chosen heads' blocks in a trace, which may end behind the deepest."""
    found: dict[int, Tensor] = {}
    with traced.trace(**segments.see().inputs, use_cache=False) as tracer:
        for block in sorted({block for block, _ in heads}):
            found[block] = traced.language_model.layers[block].self_attn.o_proj.input[:, -1].save()
        if stops:
            tracer.stop()
    size = segments.backbone.description.spec.head_dim
    return torch.cat([found[block][:, head * size : (head + 1) * size] for block, head in heads], dim=1)


def ways(segments: Segments, rival: Segments, heads: Heads) -> dict[str, tuple[bool, Callable[[], Tensor]]]:
    """Return the ways to capture the heads: (True if it ends behind the deepest block, the function), by name."""
    chosen = ChosenParts("head", tuple(heads))
    found: dict[str, tuple[bool, Callable[[], Tensor]]] = {
        "vadprobe": (True, partial(segments.chosen, chosen)),
        'vadprobe, prefix = "independent"': (True, partial(segments.in_one_pass().chosen, chosen)),
        "hooks that keep everything": (False, partial(with_hooks, rival, heads)),
    }
    if find_spec("nnsight"):
        from nnsight import NNsight  # noqa: PLC0415 - a peer, installed for the benchmark only

        traced = NNsight(rival.backbone.model.model)
        for name, stops in (("nnsight, stopped behind the deepest", True), ("nnsight, to the end", False)):
            found[name] = (stops, partial(with_nnsight, rival, traced, heads, stops=stops))
    return found


def measure(options: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Return by depth and way: seconds, ratio to vadprobe's and to the plain pass, bound, latency and difference."""
    segments, rival = (Segments.prepare(options, path) for _ in range(2))  # so that one's hooks do not slow the other
    whole, n_layers = segments.full(), segments.n_layers
    depths: dict[str, Any] = {}
    for depth in sorted({max(1, n_layers // 2), n_layers}):
        heads = segments.heads(options.heads, depth)
        wanted = torch.cat([whole[:, block, head] for block, head in heads], dim=1)
        runs = ways(segments, rival, heads)
        differences = {name: float((run() - wanted).abs().max()) for name, (_, run) in runs.items()}
        plain = torch.inference_mode()(partial(run_to_end, rival))
        compared = {PLAIN: plain, VISION: rival.see, **{name: run for name, (_, run) in runs.items()}}
        taken = in_turns(compared, options.repeats, options.device)
        seeing = taken[VISION].against(taken[PLAIN])
        depths[f"{len(heads)} heads, the deepest in block {depth} of {n_layers}"] = {
            name: {
                "seconds": taken[name].fastest,
                "ratio": taken[name].against(taken[PLAIN]),
                "bound": seeing + depth / n_layers * (1 - seeing) if stops else 1.0,
                "vadprobe_is_faster_by": taken[name].against(taken["vadprobe"]),
                **taken[name].latency(options.clips),
                "difference": differences[name],
            }
            for name, (stops, _) in runs.items()
        }
    return {"depths": depths}


def main() -> None:
    """Measure, print, and write JSON if asked for."""
    options = options_of(__doc__).parse_args()
    with TemporaryDirectory() as folder:
        path = options.backbone or make_tiny_backbone(Path(folder) / "tiny", "qwen2_5_vl")
        found = measure(options, path)
    if not find_spec("nnsight"):
        print("nnsight is left out: it is not installed (the command is in this module's docstring)")
    for depth, cases in found["depths"].items():
        print(depth)
        for name, case in cases.items():
            print(
                f"  {name}: {1000 * case['seconds']:.1f} ms, {case['ratio']:.2f} of the plain pass (bound "
                f"{case['bound']:.2f}), vadprobe is faster by {case['vadprobe_is_faster_by']:.2f}, a segment "
                f"{case['p50_ms']:.1f} ms (p95 {case['p95_ms']:.1f}), difference {case['difference']:.1e}"
            )
    names = ("torch", "transformers", *(["nnsight"] if find_spec("nnsight") else []))
    found["sizes"] = {name: value for name, value in vars(options).items() if name not in ("json", "backbone")}
    found |= machine(names)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
