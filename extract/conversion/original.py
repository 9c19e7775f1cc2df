"""The files of an original InternVL checkpoint (model type "internvl_chat"), read without running or unpickling any."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from vadprobe.extract.families.library import one_line
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json

INDEX = "model.safetensors.index.json"
_ONE_FILE = "model.safetensors"


class TensorFiles:
    """The tensors of several safetensors files by name; a tensor is read when it is asked for.

    Args:
        files: the files.
        stack: closes them.

    Raises:
        VadprobeError: if a file is missing or damaged, or two files hold a tensor of the same name.
    """

    def __init__(self, files: list[Path], stack: ExitStack) -> None:
        self._handles: dict[str, Any] = {}
        for path in files:
            try:
                handle = stack.enter_context(safe_open(path, framework="pt"))
                names = list(handle.keys())
            except (OSError, SafetensorError) as error:
                raise VadprobeError(
                    f"{path} cannot be read as safetensors ({one_line(error)}); it is damaged or cut off. Get it again."
                ) from error
            for name in names:
                if name in self._handles:
                    raise VadprobeError(
                        f"{path.name} holds {name}, and so does another file of the checkpoint; "
                        "remove the file that does not belong there."
                    )
                self._handles[name] = handle

    @property
    def names(self) -> list[str]:
        """Names of all tensors, file by file."""
        return list(self._handles)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor without reading it."""
        return tuple(self._handles[name].get_slice(name).get_shape())

    def read(self, name: str) -> Tensor:
        """Read one tensor, in its own dtype."""
        tensor: Tensor = self._handles[name].get_tensor(name)
        return tensor


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of an original checkpoint.

    Raises:
        VadprobeError: if the folder or the file is missing or damaged, or names another model type.
    """
    if not folder.is_dir():
        raise VadprobeError(f"{folder} is not a folder; it must be a local copy of an original InternVL checkpoint.")
    path = folder / "config.json"
    if not path.is_file():
        raise VadprobeError(f"{folder} has no config.json; it must be a whole InternVL checkpoint.")
    content = read_json(path)
    kind = content.get("model_type") if isinstance(content, dict) else None
    if kind == "internvl":
        raise VadprobeError(f"{folder} is in the native layout already (model type 'internvl'); use it as it is.")
    if kind != "internvl_chat":
        raise VadprobeError(
            f"{path} names the model type {kind!r}; only original InternVL checkpoints, of model type 'internvl_chat', "
            "are converted."
        )
    return dict(content)


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint, as its index names them.

    Raises:
        VadprobeError: if there are no such files, one is missing, or the weights are pickles.
    """
    if (folder / INDEX).is_file():
        names = sorted(set(_weight_map(folder).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise VadprobeError(
                f"{folder} lacks {len(missing)} of the {len(names)} files that {INDEX} names, first {missing[0]}; "
                "download the checkpoint again."
            )
        return [folder / name for name in names]
    if (folder / _ONE_FILE).is_file():
        return [folder / _ONE_FILE]
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    if pickles:
        raise VadprobeError(
            f"{folder} holds its weights as pickles only ({pickles[0]}), which can run code and are never opened; "
            "convert them to safetensors first, on a machine where that does no harm."
        )
    raise VadprobeError(f"{folder} has no weights; it must hold {_ONE_FILE}, or {INDEX} with its files.")


def check_index(folder: Path, files: TensorFiles) -> None:
    """Compare the tensors in the files with those in the index.

    Raises:
        VadprobeError: if they differ.
    """
    if not (folder / INDEX).is_file():
        return
    named, held = set(_weight_map(folder)), set(files.names)
    if named != held:
        first = min(named ^ held)
        raise VadprobeError(
            f"{INDEX} and the files of {folder} differ in {len(named ^ held)} tensors, first {first}; files of two "
            "downloads may have been mixed. Download the checkpoint again."
        )


def _weight_map(folder: Path) -> Mapping[str, str]:
    content = read_json(folder / INDEX)
    entries = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise VadprobeError(f"{folder / INDEX} has no weight_map; download the checkpoint again.")
    for name in entries.values():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise VadprobeError(
                f"{folder / INDEX} names the file {json.dumps(name)}; only safetensors files beside it are read."
            )
    return entries
