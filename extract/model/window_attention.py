"""Attention within the many windows of a video in few calls.

The vision towers of Qwen attend within windows and within frames. Without FlashAttention transformers loops over them
in Python, block by block: some thousand small calls for one clip, which take a GPU longer than the arithmetic. Windows
of one length are a batch.
"""

import weakref
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "vadprobe_flash_windows"
"""Name under which transformers finds the function. transformers hands all windows, with their borders, in one call to
a function that has "flash" in its name."""


def batch_windows(model: Any) -> bool:
    """Let a model's vision tower attend to all windows of one length at once.

    Returns:
        False, with the model left as it is, if it has no such tower, or another attention than "sdpa".
    """
    tower = getattr(getattr(model, "model", None), "visual", None)
    config = getattr(tower, "config", None)
    if config is None or config.model_type.split("_vl")[0] not in ("qwen2_5", "qwen3"):
        return False
    if config._attn_implementation != "sdpa":
        return False
    ALL_ATTENTION_FUNCTIONS.register(NAME, Windows())
    config._attn_implementation = NAME
    return True


class Windows:
    """The attention function; it remembers the windows' borders, which are the same for many blocks."""

    def __init__(self) -> None:
        self._known: list[tuple[weakref.ref[Tensor], list[tuple[int, Tensor | None]]]] = []

    def __call__(
        self, module: Any, query: Tensor, key: Tensor, value: Tensor, cu_seq_lens_q: Tensor, scaling: float, **_: Any
    ) -> tuple[Tensor, None]:
        """Attend within each window.

        Args:
            module: the attention module.
            query: (1, heads, tokens, head_dim), as `key` and `value`.
            key: see `query`.
            value: see `query`.
            cu_seq_lens_q: (windows + 1,), the first token of each window, and the end of the last.
            scaling: factor of the scores.

        Returns:
            (1, tokens, heads, head_dim), and no weights.
        """
        tokens, result = query.shape[2], torch.empty_like(query[0].transpose(0, 1))
        for length, places in self._groups(cu_seq_lens_q):
            mine, theirs, values = (_windows(states, length, places) for states in (query, key, value))
            attended = torch.nn.functional.scaled_dot_product_attention(mine, theirs, values, scale=scaling)
            attended = attended.transpose(1, 2)
            if places is None:
                result = attended.reshape(tokens, *attended.shape[2:])
            else:
                result[places.flatten()] = attended.flatten(0, 1)
        return result.unsqueeze(0), None

    def _groups(self, borders: Tensor) -> list[tuple[int, Tensor | None]]:
        """Return the lengths of windows, each with its windows' tokens, (windows, length); None if those are all."""
        for known, groups in self._known:
            if known() is borders:
                return groups
        starts = torch.tensor(borders.tolist())
        lengths = starts.diff()
        groups = []
        for length in sorted(set(lengths.tolist())):
            if length:
                places = starts[:-1][lengths == length, None] + torch.arange(length)
                groups.append((length, None if bool((lengths == length).all()) else places.to(borders.device)))
        self._known = [(known, kept) for known, kept in self._known if known() is not None]
        self._known.append((weakref.ref(borders), groups))
        return groups


def _windows(states: Tensor, length: int, places: Tensor | None) -> Tensor:
    """Cut (1, heads, tokens, head_dim) into (windows, heads, length, head_dim)."""
    if places is None:
        _, heads, tokens, width = states.shape
        return states.reshape(heads, tokens // length, length, width).transpose(0, 1)
    return states[0][:, places].transpose(0, 1)
