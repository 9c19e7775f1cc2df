"""The folder of an export: its index, its lock, and what a killed export left there."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vadprobe.store.errors import VadprobeError
from vadprobe.store.exchange.export_choice import Format, Parts
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.files.locks import exclusive
from vadprobe.store.format.schema import feature_arrays, storage_dtype
from vadprobe.store.reading.feature_store import FeatureStore

INDEX = "index.json"
EXPORT_VERSION = 1
"""Version of the index."""

_LOCK = ".exporting"
_LEFTOVER = re.compile(r".+\.[0-9]+\.[0-9a-f]{32}\.partial")


@contextmanager
def sole_exporter(out: Path) -> Iterator[None]:
    """Hold the lock of an export's folder; first delete the half-written files of an export that was killed.

    Raises:
        VadprobeError: if another process holds the lock.
    """
    busy = f"another process exports into {out}; wait for it, or name another folder."
    with exclusive(out, _LOCK, busy):
        for folder in (out, *(path for path in out.iterdir() if path.is_dir() and not path.is_symlink())):
            for path in folder.iterdir():
                if _LEFTOVER.fullmatch(path.name):
                    path.unlink()
        try:
            yield
        finally:
            (out / _LOCK).unlink(missing_ok=True)


def export_header(store: FeatureStore, format_name: Format, parts: Parts) -> dict[str, Any]:
    """Return the index without its videos; an export continues in a folder only if this part is equal."""
    spec = store.spec
    arrays = {}
    for array in feature_arrays(spec.backbone, spec.n_clips, position=spec.prompt.position):
        if array.name not in parts:
            continue
        part = parts[array.name]
        entry: dict[str, Any] = {"dims": list(array.dims), "meaning": array.prose}
        if array.name == "hidden_states":
            entry["layers"] = list(range(spec.backbone.n_layers + 1) if part is None else part)
        elif array.name == "head_outputs" and part is not None:
            entry |= {"dims": ["clip", "head", "head_dim"], "heads": [list(head) for head in part]}
            widths = [spec.backbone.head_shapes[block][1] for block, _ in part]
            if len(set(widths)) > 1:  # a narrower head ends in zeros
                entry["widths"] = widths
        arrays[array.name] = entry
    return {
        "vadprobe_export": EXPORT_VERSION,
        "format": format_name,
        "store": {
            "digest": spec.digest,
            "clips_digest": spec.clips_digest,
            "dataset": spec.dataset,
            "sampling": spec.sampling.key,
            "backbone": spec.backbone.key,
            "prompt": spec.prompt.key,
        },
        "values": spec.backbone.dtype,
        "stored_as": spec.backbone.dtype if format_name == "safetensors" else storage_dtype(spec.backbone.dtype).name,
        "arrays": arrays,
    }


def stored_index(out: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    """Read the index entries of the videos that the folder holds already.

    Raises:
        VadprobeError: if the folder holds another export or other files.
    """
    if any(part.endswith((".zarr", ".records")) for part in out.absolute().parts):
        raise VadprobeError(f"{out} lies inside of a store; name a folder of its own for the export.")
    try:
        found = read_json(out / INDEX)
    except NotADirectoryError as error:
        raise VadprobeError(f"{out} must be a folder, got a file; name another one.") from error
    except FileNotFoundError:
        if out.exists() and any(not _is_ours(path) for path in out.rglob("*") if path.is_file()):
            raise VadprobeError(
                f"{out} has files but no {INDEX}, so it is not an export; name an empty or a new folder."
            ) from None
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("videos"), dict):
        raise VadprobeError(f"{out / INDEX} is not the index of an export; name an empty or a new folder.")
    differing = [name for name in header if found.get(name) != header[name]]
    if differing:
        name = differing[0]
        what = "another store" if name == "store" else f"another choice ({name} differ)"
        raise VadprobeError(f"{out} holds the export of {what}; nothing was changed. Name an empty or a new folder.")
    return dict(found["videos"])


def _is_ours(path: Path) -> bool:
    return path.name == _LOCK or _LEFTOVER.fullmatch(path.name) is not None
