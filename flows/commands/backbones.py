"""The commands backbones, convert-checkpoint and make-demo-backbone."""

import sys
from collections.abc import Mapping
from pathlib import Path

from vadprobe.flows.commands.options import Positive, Whole
from vadprobe.flows.jobs.progress import Bar
from vadprobe.store.files.text import counted, size_text, table


def backbones() -> int:
    """List the supported families of backbones, with what was verified of each and how.

    Example: vadprobe backbones
    """
    from vadprobe.extract.families.verified import HEAD, MEANINGS, NOT_VERIFIED, VERIFIED

    for line in table(HEAD, [family.cells for family in VERIFIED]):
        print(line)
    print("\nVerified on tiny random models of transformers' own classes, in float32 on a CPU:")
    for name, meaning in MEANINGS:
        print(f"  {name}: {meaning}.")
    print(NOT_VERIFIED)
    return 0


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
    No code of the checkpoint is run and no pickle is opened. The target appears only when it is complete, with
    conversion.json, which says what it was made from.

    Example: vadprobe convert-checkpoint InternVL3-8B InternVL3-8B-hf

    Args:
        source: folder of the original checkpoint (safetensors)
        target: the folder to make; it must not exist
        adapter: folder of a PEFT adapter (LoRA) to merge into the weights
        tokenizer: folder of a fast tokenizer to take instead of the checkpoint's own
        system_turn: begin every conversation with the original chat()'s system message; by default there is none, as
            in the checkpoints that are published in transformers' layout
    """
    from vadprobe.extract.conversion.convert import Recipe, convert

    try:
        done = convert(source, target, Recipe(adapter, tokenizer, system_turn), Bar("converting", "tensor"))
    except KeyboardInterrupt:
        print("\nvadprobe: interrupted; nothing was left behind. Give the same command again.", file=sys.stderr)
        return 130
    merged = f", adapters merged into {done.n_merged} of them" if done.n_merged else ""
    print(f"{done.folder}: {counted(done.n_tensors, 'tensor')} ({size_text(done.n_bytes)}){merged}.")
    if done.dropped:
        print(f"Left out, as the model computes them itself: {', '.join(done.dropped)}.")
    return 0


def make_demo_backbone(
    out: Path,
    /,
    *,
    work: Path,
    seed: Whole = 0,
    workers: Positive = 2,
    shots: Positive = 600,
    vision_steps: Positive = 1600,
    caption_steps: Positive = 900,
) -> int:
    """Pre-train the demo backbone from nothing, as a captioner of generated scenes.

    It draws shots of its own, none of which is in a generated set, and trains a small Qwen2.5-VL to caption them. No
    label is used. An interrupted run keeps what it has drawn and trained; the same command continues it.

    Example: vadprobe make-demo-backbone my-captioner --work drawn --seed 1

    Args:
        out: the folder to make, a checkpoint with backbone_card.json; a finished one of this recipe is left alone
        work: folder of drawn clips and training states, another than OUT; other seeds use the same clips
        seed: seed of the weights, of the order of clips and of their wordings
        workers: processes that draw; with more than one, two processes train, in the same steps
        shots: shots to draw for the training, ten clips each
        vision_steps: steps in which the vision tower learns single words
        caption_steps: steps in which the whole model learns captions
    """
    from vadprobe.extract.demo.captioner.making import make_captioner
    from vadprobe.extract.demo.captioner.recipe import ClipRecipe, Recipe, TrainingRecipe

    held_out = max(1, shots // 12)
    clips = ClipRecipe(shots=shots, held_out_shots=held_out)
    training = TrainingRecipe(vision_steps=vision_steps, caption_steps=caption_steps)
    bar = Bar("training", "step")

    def show(done: int, total: int, losses: Mapping[str, float]) -> None:
        bar.beside(", ".join(f"{name} {value:.3f}" for name, value in losses.items()))
        bar(done, total)

    recipe = Recipe(seed=seed, clips=clips, training=training)
    card = make_captioner(out, work, recipe, workers=workers, drawing=Bar("drawing", "shard"), training=show)
    losses = ", ".join(f"{name} {value:.3f}" for name, value in card["losses"].items())
    print(f"{out}: {card['steps']} steps from seed {card['seed']}; on held-out clips: {losses}.")
    print(f"Note: {card['note']}.")
    return 0
