"""Pickle files of HeadHunt-VAD's public code: each `<video>_oproj_input.pkl` has the head outputs of one video.

A file is a dictionary with the inputs of the output projections at the last prompt token, a label and the video's name.
The code writes the tensor as `oproj_inputs`; its examples and its readers also know `oproj_inputs_last_token` and
`self_attns`. Shapes are (layers, heads * head_dim), with an axis of size one before or after the layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadprobe.store.datasets.annotations.names import video_name
from vadprobe.store.datasets.annotations.rows.rows import RowError, check_name
from vadprobe.store.errors import VadprobeError
from vadprobe.store.exchange.pickles.pickled_values import PickledArray, PickleError
from vadprobe.store.exchange.pickles.torch_files import read_tensors
from vadprobe.store.files.digests import fingerprint_file
from vadprobe.store.files.text import error_text

SUFFIX = "_oproj_input.pkl"
FEATURE_KEYS = ("oproj_inputs", "oproj_inputs_last_token", "self_attns")
NAME_KEYS = ("video_name", "name")
UNREADABLE = (VadprobeError, OSError, MemoryError)
"""Errors of a file that cannot be read."""

_DTYPES = ("bfloat16", "float16", "float32", "float64")
_MOST_BYTES = 4 << 30
_SHOWN_KEYS = 8


@dataclass(frozen=True)
class Layout:
    """Layout of the numbers in a file.

    Attributes:
        heads: of a layer.
        key: of the tensor; None if the file has only one.
        segments: whether a file may hold several segments in order, as an axis before the layers or a list of
            dictionaries.
    """

    heads: int
    key: str | None = None
    segments: bool = False


@dataclass(frozen=True)
class HeadHuntVideo:
    """Description of one file without its values, whose shape is (segments, blocks, heads, head_dim).

    `label` is the word in the file. `reason` says why the file cannot be read; then the shape is empty.
    """

    path: Path
    video_id: str
    fingerprint: str
    label: str | None = None
    dtype: str = ""
    shape: tuple[int, ...] = ()
    reason: str | None = None

    @property
    def file(self) -> str:
        """File name in a form that can be printed and stored."""
        return printable(self.path.name)


def headhunt_files(folder: Path) -> list[Path]:
    """Return the pickles of a folder, by name.

    Raises:
        VadprobeError: if there is none.
    """
    if not folder.is_dir():
        raise VadprobeError(f"{folder} must be the folder of the files '<video>{SUFFIX}', got no folder.")
    found = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIX) and path.is_file())
    if not found:
        raise VadprobeError(f"{folder} has no file '<video>{SUFFIX}'; name the folder that holds them.")
    return found


def describe_file(path: Path, layout: Layout) -> HeadHuntVideo:
    """Return the description of a file; an unreadable one has the reason, and its video's name from the file's name."""
    file = printable(path.name)
    fallback = video_name(file.replace("\\", "_").removesuffix(SUFFIX))
    fingerprint = ""
    try:
        fingerprint = fingerprint_file(path)
        found = _read(path, layout)
        values = found.values()
    except UNREADABLE as error:
        return HeadHuntVideo(path, fallback, fingerprint, reason=reason_of(path, error))
    return HeadHuntVideo(path, found.video_id, fingerprint, found.label, found.dtype, values.shape)


def read_file(path: Path, layout: Layout) -> np.ndarray:
    """Read the values of a file: (segments, blocks, heads, head_dim), bfloat16 as float32.

    Raises:
        VadprobeError: if it cannot be read, or holds values that are not finite.
    """
    values = _read(path, layout).values()
    if not np.isfinite(values).all():
        raise PickleError("it holds values that are not finite")
    return values


@dataclass(frozen=True)
class _Found:
    """Parts of a file, with one tensor for each entry."""

    video_id: str
    label: str | None
    tensors: tuple[PickledArray, ...]
    layout: Layout

    @property
    def dtype(self) -> str:
        kinds = {tensor.dtype for tensor in self.tensors}
        return kinds.pop() if len(kinds) == 1 else "float32"

    def values(self) -> np.ndarray:
        """Return (segments, blocks, heads, head_dim)."""
        parts = [_segments(tensor.to_numpy(), self.layout) for tensor in self.tensors]
        shapes = sorted({part.shape[1:] for part in parts})
        if len(shapes) > 1:
            raise PickleError(f"its segments have different shapes, {shapes[0]} and {shapes[1]}")
        joined = np.concatenate(parts)
        if joined.dtype == np.float64:
            with np.errstate(over="ignore"):
                narrow = joined.astype(np.float32)
            if not np.array_equal(narrow, joined, equal_nan=True):
                raise PickleError("it holds float64 values that float32 does not hold; store it as float32")
            joined = narrow
        return joined


def _read(path: Path, layout: Layout) -> _Found:
    n_bytes = path.stat().st_size
    if n_bytes > _MOST_BYTES:
        raise PickleError(f"it has {n_bytes / 1e9:.1f} GB; the heads of one video never take more than 4")
    value = read_tensors(path.read_bytes())
    entries = value if isinstance(value, list | tuple) and value else [value]
    if len(entries) > 1 and not layout.segments:
        raise PickleError(f"it holds {len(entries)} entries; if they are segments, say how long (--clip-length)")
    tensors = tuple(_tensor(entry, layout) for entry in entries)
    if sum(tensor.n_bytes for tensor in tensors) > n_bytes:
        raise PickleError(f"its tensors take more than its {n_bytes} bytes; the same values are named many times")
    names = {_name(entry, path) for entry in entries}
    labels = {_label(entry) for entry in entries}
    if len(names) > 1 or len(labels) > 1:
        raise PickleError(
            "its entries must be of one video and label, got several; store each video in a file of its own"
        )
    return _Found(names.pop(), labels.pop(), tensors, layout)


def _tensor(entry: Any, layout: Layout) -> PickledArray:
    if not isinstance(entry, dict):
        raise PickleError(f"it must hold a dictionary, got a value of type {_kind(entry)}")
    wanted = FEATURE_KEYS if layout.key is None else (layout.key,)
    found = [key for key in wanted if entry.get(key) is not None]
    if len(found) != 1:
        keys = ", ".join(ascii(key)[:40] for key in list(entry)[:_SHOWN_KEYS]) or "none"
        what = f"one must be {' or '.join(wanted)}" if not found else "say which one (--key)"
        raise PickleError(f"it has the keys {keys}; {what}")
    tensor = entry[found[0]]
    if not isinstance(tensor, PickledArray) or tensor.dtype not in _DTYPES:
        kind = tensor.dtype if isinstance(tensor, PickledArray) else _kind(tensor)
        raise PickleError(f"{found[0]!r} must be a tensor of {', '.join(_DTYPES)}, got type {kind}")
    return tensor


def reason_of(path: Path, error: BaseException) -> str:
    """Return the reason why a file cannot be read, in one line that begins with its name."""
    return f"{printable(path.name)}: {error_text(error, 500)}".rstrip(".")


def printable(name: str) -> str:
    """Return a file's name in a form that can be printed and stored anywhere."""
    return name if name.isprintable() else ascii(name)[1:-1]


def _kind(value: Any) -> str:
    return "tensor" if isinstance(value, PickledArray) else type(value).__name__


def _segments(values: np.ndarray, layout: Layout) -> np.ndarray:
    """Return (segments, blocks, heads, head_dim) of a tensor in one of the forms the method's code knows."""
    shape = values.shape
    while values.ndim > 3 and 1 in values.shape[:-1]:
        values = values.squeeze(values.shape.index(1))
    if values.ndim == 3 and values.shape[1] == 1:
        values = values[:, 0]  # (layers, 1, width): the axis of the token
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or 0 in shape:
        raise PickleError(f"its tensor must have the shape (layers, heads * head_dim), got shape {shape}")
    if len(values) > 1 and not layout.segments:
        raise PickleError(
            f"its tensor has shape {shape}; if the first axis counts segments, say how long they are (--clip-length)"
        )
    if values.shape[2] % layout.heads:
        raise PickleError(f"its width {values.shape[2]} is not a multiple of {layout.heads} heads; correct --heads")
    return values.reshape(*values.shape[:2], layout.heads, values.shape[2] // layout.heads)


def _name(entry: dict[Any, Any], path: Path) -> str:
    given = next((entry[key] for key in NAME_KEYS if entry.get(key) is not None), path.name.removesuffix(SUFFIX))
    if not isinstance(given, str):
        raise PickleError(f"its video name must be text, got type {_kind(given)}")
    name = video_name(given.strip())
    try:
        check_name(name)
    except RowError as error:
        raise PickleError(f"its video name is not valid ({error})") from error
    return name


def _label(entry: dict[Any, Any]) -> str | None:
    label = entry.get("label")
    if isinstance(label, PickledArray) and label.n_bytes <= 8 and label.to_numpy().size == 1:
        label = label.to_numpy().reshape(()).item()
    if label is None or isinstance(label, str | bool | int):
        text = str(int(label) if isinstance(label, bool) else label) if label is not None else ""
        try:
            check_name(text or "none")
        except RowError as error:
            raise PickleError(f"its label is not valid ({error})") from error
        return text or None
    raise PickleError(f"its label must be text or a whole number, got type {_kind(label)}")


def is_anomalous(label: str | None, normal: Sequence[str] = ()) -> int | None:
    """Return 0 for normal, 1 for anomalous, None for an unknown label, by the rules of the method's code.

    `normal` are the labels that mean normal. If it is empty, these are "A" (XD-Violence), any label that contains
    "normal", and 0.
    """
    if label is None or label.casefold() == "unknown":
        return None
    if normal:
        return int(label not in normal)
    return int(not (label in ("A", "0") or "normal" in label.casefold()))
