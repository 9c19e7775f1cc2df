"""Parts of `benchmarks.gpu`: the measurement of each on a GPU, and its tiny sizes for a CPU."""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.extract import extraction, extraction_end_to_end, vllm_hidden_states
from benchmarks.support.backbone_shapes import describe_shape, make_backbone
from benchmarks.support.machine import machine
from vadprobe.extract.configuration import ExtractionConfig

TINY = {"InternVL3-8B": "internvl", "Qwen2.5-VL-7B": "qwen2_5_vl", "internvl-512": "internvl"}
"""The tiny shape that replaces each true shape in a dry run."""


@dataclass(frozen=True)
class Part:
    """A measurement, and the seconds that it may take.

    `measure` gets the sizes and a folder, which is removed afterwards.
    """

    seconds: float
    measure: Callable[[argparse.Namespace, Path], dict[str, Any]]


def sizes_of(dry_run: bool) -> argparse.Namespace:
    """Return the sizes of a run: true shapes on the GPU, or tiny ones on the CPU."""
    if dry_run:
        small = {"frames": 4, "height": 56, "width": 56, "clips": 1, "prompts": 2, "repeats": 1, "dtype": "bfloat16"}
        videos = {"videos": 1, "video_frames": 60, "rounds": 1, "batch": 2}
        return argparse.Namespace(device="cpu", compile=False, dry_run=True, **small, **videos)
    large = {"frames": 8, "height": 448, "width": 448, "clips": 8, "prompts": 5, "repeats": 3, "dtype": "bfloat16"}
    videos = {"videos": 4, "video_frames": 480, "rounds": 1, "batch": 8}
    return argparse.Namespace(device="cuda", compile=False, dry_run=False, **large, **videos)


def describe_machine(dry_run: bool) -> dict[str, Any]:
    """Return the machine and the versions, and its GPU unless this is a dry run."""
    found = machine(("torch", "transformers", "av", "decord"))
    return found if dry_run or not torch.cuda.is_available() else {**found, "gpu": torch.cuda.get_device_name()}


def run_part(name: str, dry_run: bool) -> dict[str, Any]:
    """Run one part in this process; return its values, or the reason why it is left out."""
    sizes = sizes_of(dry_run)
    if not dry_run and not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU; give --dry-run for tiny shapes on the CPU")
    with tempfile.TemporaryDirectory() as folder:
        return PARTS[name].measure(sizes, Path(folder))


def shape_of(name: str, sizes: argparse.Namespace) -> str:
    """Return the shape to measure: the named one, or in a dry run the tiny one that replaces it."""
    return TINY[name] if sizes.dry_run else name


def gpu_tests(sizes: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the tests that need a GPU, and return pytest's last line; in a dry run they are collected only."""
    options = ["--collect-only", "tests/extract/families/test_pixels.py"] if sizes.dry_run else ["tests/extract"]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode:
        raise SystemExit("\n".join(lines[-15:]))
    return {"pytest": lines[-1]}


def relative(mine: Tensor, theirs: Tensor) -> float:
    """Return the largest relative difference of a clip's vectors; 0 if all bits are the same."""
    if torch.equal(mine, theirs):
        return 0.0
    one, other = mine.float(), theirs.float()
    return float(((one - other).norm(dim=-1) / other.norm(dim=-1).clamp_min(1e-12)).max())


@torch.inference_mode()
def equalities(sizes: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Compare ways to the same features: a plain pass, captured, ended early, repeated, with and without sharing.

    All but the last do the same arithmetic; prompts that share their prefix add in another order than prompts apart.
    """
    found = {}
    for name in ("internvl-512", "Qwen2.5-VL-7B"):
        description = describe_shape(shape_of(name, sizes), folder / name, sizes.dtype, (sizes.height, sizes.width))
        passes = extraction.Passes(make_backbone(description, sizes.device), sizes)
        whole, half = passes.captured(), passes.captured(len(passes.parts.blocks) // 2)
        plain = passes.model.model(
            **passes.taken[0], mm_encoder_outputs=dict(passes.encoded), use_cache=False, output_hidden_states=True
        )
        n_layers = half.hidden_states.shape[1]
        before = torch.stack([state[:, -1] for state in plain.hidden_states[:-1]], dim=1)
        own, shared = passes.own(), passes.shared()
        pairs = list(zip(shared, own, strict=True))
        found[name] = {
            "captured against plain": relative(whole.hidden_states[:, : before.shape[1]], before),
            "early exit against whole": relative(half.hidden_states, whole.hidden_states[:, :n_layers]),
            "shared against apart, hidden states": max(relative(a.hidden_states, b.hidden_states) for a, b in pairs),
            "shared against apart, heads": max(relative(a.head_outputs, b.head_outputs) for a, b in pairs),
            "repeated": relative(passes.captured().hidden_states, whole.hidden_states),
        }
    return found


def passes_of(name: str, sizes: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure the passes of one true shape: rates, prompts shared and apart, capturing, ending early, memory."""
    device = torch.device(sizes.device)
    peak = 1e12 if sizes.dry_run else extraction.matmul_peak(device, getattr(torch, sizes.dtype))
    found = extraction.measure(shape_of(name, sizes), folder, sizes, peak)
    seconds = found["seconds"]
    return {
        **found,
        "peak": peak,
        "shared_speedup": seconds["own passes"] / seconds["shared prefix"],
        "capture_overhead": seconds["captured"] / seconds["plain"] - 1,
        "half_speedup": seconds["captured"] / seconds["half the blocks"],
    }


def from_files(ways: tuple[str, ...], sizes: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure the way from video files to committed stores, beside scripts; packages not installed are left out."""
    chosen = extraction_end_to_end.installed(ways)
    if missing := sorted(set(ways) - set(chosen)):
        return {"left_out": f"not installed: {', '.join(missing)}"}
    name = shape_of("InternVL3-8B", sizes)
    description = describe_shape(name, folder / "shape", sizes.dtype, None)
    backbone = make_backbone(description, sizes.device)
    config = ExtractionConfig(device=sizes.device, batch_clips=sizes.batch)
    (folder / "work").mkdir()
    given = {"videos": sizes.videos, "frames": sizes.video_frames, "prompts": sizes.prompts, "rounds": sizes.rounds}
    return extraction_end_to_end.measure(argparse.Namespace(ways=chosen, **given), folder / "work", backbone, config)


def vllm(sizes: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure hidden states through vLLM with and without its prefix caching, where it is installed."""
    if not find_spec("vllm"):
        return {"left_out": "not installed: vllm"}
    return vllm_hidden_states.measure(shape_of("Qwen2.5-VL-7B", sizes), sizes.clips, sizes.prompts, folder)


PARTS = {
    "tests": Part(150, gpu_tests),
    "equalities": Part(90, equalities),
    "InternVL3-8B": Part(120, partial(passes_of, "InternVL3-8B")),
    "Qwen2.5-VL-7B": Part(120, partial(passes_of, "Qwen2.5-VL-7B")),
    "end to end": Part(150, partial(from_files, ("vadprobe", "naive script", "batched script"))),
    "nnsight": Part(120, partial(from_files, ("vadprobe", "nnsight"))),
    "vllm": Part(240, vllm),
}
"""The parts by name, the most valuable first."""
