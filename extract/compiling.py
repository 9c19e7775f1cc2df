"""Compiling a backbone's language model: its blocks, which are alike, each as one piece of code."""

from typing import Any

import torch

from vadprobe.extract.capture import TextBlocks

_VARIANTS = 64
"""How many pieces of code all blocks may need together, one for each way of running (a prompt's whole pass, the shared
tokens, a prompt's own tokens) with one clip and with several. Beyond torch's own limit, 8, nothing is compiled."""


def compile_blocks(parts: TextBlocks, backend: str = "inductor") -> None:
    """Compile each block's forward in place; the code is made when the first clips pass.

    The hooks on blocks stay outside the compiled code. Those on the output projections lie inside and are compiled with
    it, as :class:`TextBlocks` has registered them already. Sizes are symbols, so that another number of clips or tokens
    needs no new code; only a single clip does.

    Args:
        parts: the blocks of a loaded model.
        backend: of ``torch.compile``; the default needs a C++ compiler on a CPU, and Triton on a GPU.
    """
    settings: Any = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, _VARIANTS)
    for block in parts.blocks:
        compiled: Any = block
        compiled.forward = torch.compile(compiled.forward, backend=backend, dynamic=True)
