"""Capture of every layer's hidden state and every head's output, at the last prompt token or at other positions.

The last prompt token generates the first token of the answer, so the methods call these the first-token features.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vadprobe.extract.model.blocks.text_blocks import KeptTokens, Seen, TextBlocks
from vadprobe.extract.model.positions import LAST_TOKEN, PositionTokens
from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True)
class Captured:
    """Features of a batch, on the device of the last block that ran and in the model's dtype.

    A pass that ended early has the layers of the blocks that ran, and no logits.

    Attributes:
        hidden_states: (clips, layers + 1, hidden), the embedding, then each block's output before the final norm.
        head_outputs: (clips, layers, heads, head_dim), each head's output as it enters the output projection. Where
            blocks differ in their heads these are the most and the widest, and what a block does not have is 0.
        answer_logits: (clips, 2), first-token logits of yes and no.
    """

    hidden_states: Tensor
    head_outputs: Tensor
    answer_logits: Tensor | None


@torch.inference_mode()
def capture(
    model: Any,
    parts: TextBlocks,
    inputs: Mapping[str, Any],
    answer_ids: tuple[int, int],
    cache: KeptTokens | None = None,
    n_blocks: int | None = None,
    *,
    with_head: bool = False,
) -> Captured:
    """Run the model once, without its language head on the sequence, and keep the last token of every layer.

    Args:
        model: a transformers image-text-to-text model in evaluation mode; it may be spread over several devices.
        parts: its blocks.
        inputs: keyword arguments of `model.model`; every sequence ends at its last token (no right padding).
        answer_ids: token ids of yes and no.
        cache: keys and values of tokens that ran before these; it grows by these.
        n_blocks: number of blocks to run; by default all, which the logits need.
        with_head: run the whole model, which may scale or bound its logits; `inputs` are then those of `model`.

    Raises:
        RuntimeError: if a layer did not pass through its hook, as when the model was compiled before its hooks came.
        VadprobeError: if a value is infinite or NaN, as when float16 overflows.
    """
    (found,) = capture_positions(model, parts, inputs, answer_ids, cache, n_blocks, with_head=with_head)
    return found


@dataclass(frozen=True)
class Wanted:
    """Tokens of a run that are kept, and what was seen of them in the run before it.

    `columns` are the places of these positions among the positions of the run before.
    """

    tokens: PositionTokens = LAST_TOKEN
    before: Seen | None = None
    columns: Sequence[int] = ()


LAST_WANTED = Wanted()
"""The last token alone."""


@torch.inference_mode()
def capture_positions(
    model: Any,
    parts: TextBlocks,
    inputs: Mapping[str, Any],
    answer_ids: tuple[int, int],
    cache: KeptTokens | None = None,
    n_blocks: int | None = None,
    wanted: Wanted = LAST_WANTED,
    *,
    with_head: bool = False,
) -> list[Captured]:
    """Return the features of each wanted position from one run; the logits are those of the last token in all.

    Arguments and errors as of `capture`.
    """
    layers, output = len(parts.blocks) if n_blocks is None else n_blocks, None
    with parts.watch(tokens=wanted.tokens) as seen, parts.stop_after(layers):
        output = run_to_end(model, inputs, cache, with_head=with_head)
    n_heads = sum(count > 0 for count, _ in parts.shapes[:layers])
    if len(seen.hidden) != layers + 1 or len(seen.heads) != n_heads:
        raise RuntimeError(
            f"captured {len(seen.hidden)} of {layers + 1} hidden states and the heads of {len(seen.heads)} of "
            f"{n_heads} blocks; hooks must be registered before the model is compiled."
        )
    seen.finish(wanted.before, wanted.columns)
    device = seen.hidden[layers].device
    stacked = torch.stack([seen.hidden[layer].to(device) for layer in range(layers + 1)], dim=2)
    logits = None if output is None else _answers(model, output, answer_ids)
    captured = []
    for position, hidden in enumerate(stacked.unbind(dim=1)):
        heads = parts.heads({block: value[:, position] for block, value in seen.heads.items()}, hidden)
        captured.append(Captured(hidden, heads, logits))
        _require_finite(captured[-1])
    return captured


def run_to_end(model: Any, inputs: Mapping[str, Any], cache: KeptTokens | None, *, with_head: bool) -> Any:
    """Run the model below its head, or `with_head` all of it, if it can with the head on the last position alone."""
    if not with_head:
        return model.model(**inputs, past_key_values=cache, use_cache=cache is not None)
    last = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    return model(**inputs, use_cache=False, **last)


def _answers(model: Any, output: Any, answer_ids: tuple[int, int]) -> Tensor:
    """Return the logits of the answers alone, (clips, 2)."""
    rows = list(answer_ids)
    if hasattr(output, "logits"):
        found: Tensor = output.logits[:, -1, rows]
        return found
    last, head = output.last_hidden_state[:, -1], model.get_output_embeddings()
    if head.weight.is_meta:  # kept elsewhere, and there only while the head runs
        offloaded: Tensor = head(last)[:, rows]
        return offloaded
    bias = head.bias[rows] if getattr(head, "bias", None) is not None else None
    return nn.functional.linear(last.to(head.weight.device), head.weight[rows], bias)


def _require_finite(captured: Captured) -> None:
    """Refuse values that no store may hold, before the rest of the partition is computed."""
    hidden, heads, logits = captured.hidden_states, captured.head_outputs, captured.answer_logits
    if bool(hidden.isfinite().all() & heads.isfinite().all()) and (logits is None or bool(logits.isfinite().all())):
        return
    layers = (~hidden.isfinite()).any(dim=(0, 2)).nonzero().flatten().tolist()
    where = f"the hidden state of layer {layers[0]}" if layers else "a head's output or an answer's logit"
    name = str(hidden.dtype).removeprefix("torch.")
    cure = (
        'float16 holds no number above 65504. Set dtype = "bfloat16" in section [backbone]'
        if hidden.dtype is torch.float16
        else "the weights may be damaged. Download the checkpoint again"
    )
    raise VadprobeError(f"{where} is infinite or NaN, computed in {name}: {cure}.")
