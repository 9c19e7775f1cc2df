"""Several prompts about one clip in one pass over its video: the tokens before the prompt's text run once.

Those are the same for every prompt, and nearly all tokens are video. Their keys and values are kept; each prompt's own
tokens then run behind them, one prompt after another. So the features of a prompt depend on which tokens are shared,
but not on which other prompts are there, nor on how many: a prompt can be added later.
"""

import inspect
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from vadprobe.extract.families.family import Family
from vadprobe.extract.model.capture import Captured, KeptTokens, TextBlocks, capture
from vadprobe.store.errors import VadprobeError

_PROBES = ("A", "zebra?", "9 of them", "(yes)")  # what every prompt has before them is before every prompt
_PER_TOKEN = ("input_ids", "attention_mask", "mm_token_type_ids")


def shared_tokens(family: Family, frames_per_clip: int) -> Tensor | None:
    """The tokens before a prompt's text, (tokens,) int64; None if the chat template puts a video token behind it."""
    known: Any = family  # families are frozen, which the protocol cannot say
    return _shared_tokens(known, frames_per_clip)


@cache
def _shared_tokens(family: Any, frames_per_clip: int) -> Tensor | None:
    ids, rest = _common(family, frames_per_clip)
    _, other = _common(family, frames_per_clip + 2)
    return ids if len(ids) and rest == other else None  # a longer clip must only lengthen what is shared


def _common(family: Family, frames_per_clip: int) -> tuple[Tensor, int]:
    """The longest common beginning, and the tokens that the first probe has behind it."""
    found = [family.tokenize(probe, frames_per_clip)[0] for probe in _PROBES]
    shortest = min(map(len, found)) - 1  # one token at least is the prompt's own
    stacked = torch.stack([ids[:shortest] for ids in found])
    differs = (stacked != stacked[0]).any(dim=0).nonzero()
    count = int(differs[0]) if len(differs) else shortest
    return found[0][:count], len(found[0]) - count


def shares(family: Family, ids: Tensor, frames_per_clip: int) -> bool:
    """Whether a prompt's tokens, (1, tokens), begin with the shared ones and go on behind them."""
    prefix = shared_tokens(family, frames_per_clip)
    return prefix is not None and ids.shape[1] > len(prefix) and torch.equal(ids[0, : len(prefix)].cpu(), prefix.cpu())


@torch.inference_mode()
def capture_prompts(
    model: Any,
    parts: TextBlocks,
    prompts: Sequence[dict[str, Any]],
    encoded: dict[str, Any],
    answer_ids: tuple[int, int],
    n_shared: int,
    depth: int | None = None,
) -> Iterator[Captured]:
    """Features of a batch of clips for each prompt.

    Args:
        model: a transformers image-text-to-text model in evaluation mode.
        parts: its blocks.
        prompts: for each prompt what the language model takes (``Family.language_inputs``), for all clips of the batch.
        encoded: what the vision tower made of the clips.
        answer_ids: token ids of yes and no.
        n_shared: how many tokens at the beginning all prompts have in common; no video token lies behind them.
        depth: blocks to run, as for ``capture``.

    Yields:
        As ``capture`` of each prompt alone: equal up to rounding (at most 1e-5 in float32).
    """
    first = prompts[0]
    text = model.get_decoder()
    kept = KeptTokens(config=text.config)
    every = [_positions(model, arguments) for arguments in prompts]
    with parts.stop_after(len(parts.blocks) if depth is None else depth):
        model.model(
            **{name: value[:, :n_shared] if name in _PER_TOKEN else value for name, value in first.items()},
            mm_encoder_outputs=encoded,
            position_ids=every[0][..., :n_shared],
            past_key_values=kept,
            use_cache=True,
        )
    for arguments, positions in zip(prompts, every, strict=True):
        if not torch.equal(positions[..., :n_shared], every[0][..., :n_shared]):
            raise VadprobeError("prompts give the shared tokens different positions; set extraction.prefix.")
        own = {
            "input_ids": arguments["input_ids"][:, n_shared:],
            "attention_mask": arguments["attention_mask"],
            "position_ids": positions[..., n_shared:],
        }
        yield capture(model, parts, own, answer_ids, kept, depth)
        for layer in kept.layers:
            if layer.is_initialized:  # those behind the deepest block never ran
                layer.crop(-own["input_ids"].shape[1])


def _positions(model: Any, arguments: dict[str, Any]) -> Tensor:
    """Positions of all tokens of a prompt: the model's own where it has several axes, else 0, 1, 2, ..."""
    find = getattr(model.model, "get_rope_index", None)
    if find is None:
        ids = arguments["input_ids"]
        return torch.arange(ids.shape[1], device=ids.device).expand(len(ids), -1)
    known = inspect.signature(find).parameters
    positions, _ = find(**{name: value for name, value in arguments.items() if name in known})
    return torch.as_tensor(positions)
