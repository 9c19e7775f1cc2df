"""The device of a model: one by name, or all GPUs of the machine together."""

import platform
from importlib.util import find_spec
from typing import Any

import torch

from vadprobe.store.errors import VadprobeError

BALANCED = "balanced"
"""Name of the device that spreads a model's parts over all GPUs, about as much on each."""


def choose_device(name: str) -> torch.device:
    """Return the device of that name; 'auto' is the first GPU when there is one, else the CPU.

    For 'balanced' it is the kind of device over which the model is spread.

    Raises:
        VadprobeError: if there is no such device, or the package that spreads a model is not installed.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == BALANCED:
        return _spread()
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a device without values, such as 'meta', has nothing to give back
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise VadprobeError(f"device {name!r} cannot be used ({reason}); try 'auto' or 'cpu'.") from error
    return device


def input_device(model: Any) -> torch.device:
    """Return the device of a model's inputs, which is that of its token embeddings; the rest may lie elsewhere."""
    device: torch.device = model.get_input_embeddings().weight.device
    return device


def name_of(device: torch.device) -> str:
    """Return the name of a kind of device: a GPU's model, or the CPU's architecture and the number of threads."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    count = torch.get_num_threads()
    return f"{device.type.upper()} {platform.machine()}, {count} thread{'s' if count > 1 else ''}"


def _spread() -> torch.device:
    if not torch.cuda.is_available():
        raise VadprobeError(
            f"device {BALANCED!r} spreads a model over the GPUs of this machine, and it has none that torch can use; "
            "try 'auto' or 'cpu'."
        )
    if find_spec("accelerate") is None:
        raise VadprobeError(
            f"device {BALANCED!r} needs the package 'accelerate'; install it with: pip install 'vadprobe[spread]'. "
            "A model that fits on one GPU runs with device 'auto' or 'cuda:0'."
        )
    return torch.device("cuda")
