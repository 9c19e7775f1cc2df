"""Make torchvision importable beside a CPU build of torch; import this module before transformers."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

COMPARISONS = Path(sys.prefix) / "comparisons"  # what only tests import, see that group in pyproject.toml


def _declare_operators() -> None:
    """Declare the compiled operators that do not fit this torch; the processors never call them."""
    import torch

    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


if COMPARISONS.is_dir() and str(COMPARISONS) not in sys.path:
    sys.path.append(str(COMPARISONS))
if find_spec("torchvision"):  # transformers imports torchvision wherever it is installed
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        _declare_operators()

needs_torchvision = pytest.mark.skipif(
    find_spec("torchvision") is None, reason="the library's video processors need torchvision, which is not installed"
)
