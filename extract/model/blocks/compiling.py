"""Compilation of a backbone's language model, block by block: blocks are alike, so one code serves all."""

import os
import shutil
from importlib.util import find_spec
from typing import Any

import torch

from vadprobe.extract.model.blocks.text_blocks import TextBlocks
from vadprobe.store.errors import VadprobeError

DEFAULT_BACKEND = "inductor"
_VARIANTS = 64
"""Limit on the pieces of code of all blocks together: one for each way of running (a prompt's whole pass, the shared
tokens, a prompt's own tokens) with one clip and with several. torch's default, 8, is too low: it compiles no more."""


def compile_blocks(parts: TextBlocks, backend: str = DEFAULT_BACKEND) -> None:
    """Compile each block's forward in place; compilation happens when the first clips pass.

    The hooks on blocks stay outside the compiled code. Those on the output projections lie inside and are compiled with
    it, because `TextBlocks` registered them before. Sizes are symbols, so that another number of clips or tokens
    needs no new code; only a batch of a single clip does.

    Args:
        parts: the blocks of a loaded model.
        backend: name of a backend of `torch.compile`; the default needs a C++ compiler on a CPU, Triton on a GPU.

    Raises:
        VadprobeError: if the default backend's compiler is not there; torch says so only at the first clips.
    """
    if backend == DEFAULT_BACKEND:
        _require_compiler(next(parts.blocks[0].parameters()).device)
    settings: Any = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, _VARIANTS)
    for block in parts.blocks:
        compiled: Any = block
        compiled.forward = torch.compile(compiled.forward, backend=backend, dynamic=True)


def _require_compiler(device: torch.device) -> None:
    if device.type == "cpu":
        missing = not any(map(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++", "cl"))))
        what, how = "a C++ compiler", "install g++, or name one in the environment variable CXX"
    else:
        missing = find_spec("triton") is None
        what, how = "the package 'triton'", "install it with: pip install triton"
    if missing:
        raise VadprobeError(
            f"compile = true needs {what} on {device.type!r}; {how}. Without compile = true none is needed."
        )
