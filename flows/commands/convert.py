"""``vadprobe convert-checkpoint``: original InternVL checkpoints in the layout that the other commands read."""

import argparse
import sys
from pathlib import Path
from typing import Any

from vadprobe.flows.jobs.progress import CountProgress


def add_convert_command(commands: Any) -> None:
    """Add ``convert-checkpoint``."""
    parser = commands.add_parser(
        "convert-checkpoint",
        help="turn an original InternVL checkpoint into transformers' own layout",
        description="Turn an original InternVL2, InternVL2.5, InternVL3 or Holmes-VAU checkpoint (model type "
        "internvl_chat) into transformers' own layout, adapters (LoRA) merged. No code of the checkpoint is run and no "
        "pickle is opened. The target appears when all of it is written, with conversion.json, which says what it was "
        "made from.",
    )
    parser.set_defaults(command=_convert)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder of the original checkpoint (safetensors)")
    parser.add_argument("target", type=Path, metavar="TARGET", help="the folder to make; nothing may be there")
    parser.add_argument(
        "--adapter", type=Path, metavar="FOLDER", help="a PEFT adapter (LoRA) to merge into the weights"
    )
    parser.add_argument(
        "--tokenizer", type=Path, metavar="FOLDER", help="a fast tokenizer to take instead of the checkpoint's own"
    )
    parser.add_argument(
        "--system-turn",
        action="store_true",
        help="begin every conversation with the original chat()'s system message; by default there is none, as in the "
        "checkpoints that are published in transformers' layout",
    )


def _convert(options: argparse.Namespace) -> int:
    from vadprobe.extract.conversion.convert import Recipe, convert

    recipe = Recipe(options.adapter, options.tokenizer, options.system_turn)
    try:
        done = convert(options.source, options.target, recipe, CountProgress("converting", "tensor").report)
    except KeyboardInterrupt:
        print("\nvadprobe: interrupted; nothing was left. Give the same command again.", file=sys.stderr)
        return 130
    merged = f", adapters merged into {done.n_merged} of them" if done.n_merged else ""
    print(f"{done.folder}: {done.n_tensors} tensors ({done.n_bytes / 1e9:.2f} GB){merged}.")
    if done.dropped:
        print(f"Left out, as the model computes them itself: {', '.join(done.dropped)}.")
    return 0
