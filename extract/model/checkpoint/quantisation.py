"""Quantised weights: how config.json describes them, and if transformers can read them on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers.quantizers.auto import AutoHfQuantizer

from vadprobe.extract.families.library import one_line
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_json

_KEYS = ("quantization_config", "compression_config")
_BITSANDBYTES = "bitsandbytes"


@dataclass(frozen=True)
class Quantisation:
    """The quantisation of a checkpoint's weights.

    Attributes:
        method: name of the method, such as `fp8`, `awq`, `gptq`, `bitsandbytes`, `compressed-tensors`.
        settings: all that config.json says of it.
    """

    method: str
    settings: Mapping[str, Any]

    def recipe(self) -> dict[str, Any]:
        """Return what a store's recipe says of the quantisation: its method, simple settings, and a digest of all."""
        plain = {name: value for name, value in self.settings.items() if isinstance(value, str | int | float | bool)}
        return {**plain, "quant_method": self.method, "digest": digest_json(dict(self.settings))}

    def note(self, key: str) -> str:
        """Return a sentence for the user, to be said before the work begins."""
        return (
            f"{key}: its weights are quantised ({self.method}), which changes the features. The stores say "
            "so; they are not those of the same model with its full weights."
        )


def quantisation_of(content: Mapping[str, Any]) -> Quantisation | None:
    """Return how the weights of a checkpoint are quantised, by its config.json; None if they are not."""
    for part in (content, content.get("text_config"), content.get("llm_config")):
        for key in _KEYS if isinstance(part, Mapping) else ():
            settings = part.get(key)  # type: ignore[union-attr]
            if isinstance(settings, Mapping) and settings:
                bits = any(settings.get(name) for name in ("load_in_4bit", "load_in_8bit"))
                method = settings.get("quant_method") or (_BITSANDBYTES if bits else "of no named method")
                return Quantisation(str(method), settings)
    return None


def check_quantisation(key: str, found: Quantisation, dtype: str) -> None:
    """Refuse quantised weights that transformers cannot read here: the method is unknown, or a package is missing.

    Args:
        key: the backbone's key.
        found: how its weights are quantised.
        dtype: name of the data type of the passes.

    Raises:
        VadprobeError: naming the method, and the package or setting that is needed.
    """
    begin = f"the weights of backbone {key!r} are quantised (config.json: {found.method})"
    cure = "or use the checkpoint of the same model that is not quantised"
    try:
        quantizer = AutoHfQuantizer.from_config(dict(found.settings), pre_quantized=True)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        quantizer.validate_environment(device_map={"": device}, weights_only=True)
        wanted = quantizer.update_dtype(getattr(torch, dtype))
    except ImportError as error:
        raise VadprobeError(f"{begin}, which needs a package: {one_line(error)} Install it, {cure}.") from error
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        raise VadprobeError(
            f"{begin}, which transformers cannot read here: {one_line(error)} Use a machine and a version that can, "
            f"{cure}."
        ) from error
    if wanted != getattr(torch, dtype):
        name = str(wanted).removeprefix("torch.")
        raise VadprobeError(f"{begin} and computed in {name}, got dtype = {dtype!r}; set backbone.dtype to {name!r}.")
