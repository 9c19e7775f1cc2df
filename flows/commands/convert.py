"""The command convert-checkpoint."""

import sys
from pathlib import Path

from vadprobe.flows.jobs.progress import Bar


def convert_checkpoint(
    source: Path,
    target: Path,
    /,
    *,
    adapter: Path | None = None,
    tokenizer: Path | None = None,
    system_turn: bool = False,
) -> int:
    """Turn an original InternVL checkpoint into transformers' own layout.

    It reads InternVL2, InternVL2.5, InternVL3 and Holmes-VAU (model type internvl_chat) and merges adapters (LoRA).
    No code of the checkpoint is run and no pickle is opened. The target appears when all of it is written, with
    conversion.json, which says what it was made from.

    Args:
        source: folder of the original checkpoint (safetensors)
        target: the folder to make; nothing may be there
        adapter: folder of a PEFT adapter (LoRA) to merge into the weights
        tokenizer: folder of a fast tokenizer to take instead of the checkpoint's own
        system_turn: begin every conversation with the original chat()'s system message; by default there is none, as
            in the checkpoints that are published in transformers' layout
    """
    from vadprobe.extract.conversion.convert import Recipe, convert

    try:
        done = convert(source, target, Recipe(adapter, tokenizer, system_turn), Bar("converting", "tensor"))
    except KeyboardInterrupt:
        print("\nvadprobe: interrupted; nothing was left. Give the same command again.", file=sys.stderr)
        return 130
    merged = f", adapters merged into {done.n_merged} of them" if done.n_merged else ""
    print(f"{done.folder}: {done.n_tensors} tensors ({done.n_bytes / 1e9:.2f} GB){merged}.")
    if done.dropped:
        print(f"Left out, as the model computes them itself: {', '.join(done.dropped)}.")
    return 0
