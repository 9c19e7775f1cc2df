"""The files of a local checkpoint, checked before anything is read from them; of weights, only the headers are read."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_file, digest_json
from vadprobe.store.files.stand_ins import stand_in
from vadprobe.store.files.text import counted, first_few, size_text

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
"""Names of the weights in transformers' layout: one file, or the index of several."""

CONTENT_SUFFIXES = frozenset({".json", ".jinja", ".safetensors", ".txt", ".model", ".py"})
"""Suffixes of the files that decide what a checkpoint computes."""

_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
_AGAIN = "download the checkpoint again"


def check_pointers(key: str, folder: Path) -> None:
    """Refuse a checkpoint folder in which pointers (Git LFS, git-annex) or web pages stand in the place of files.

    Raises:
        VadprobeError: naming the first such file, and the cure.
    """
    found = [(path, what) for path in content_files(folder) if (what := stand_in(path)) is not None]
    if found:
        path, what = found[0]
        others = f"; so are {counted(len(found) - 1, 'other file')} of that folder" if len(found) > 1 else ""
        raise VadprobeError(f"the checkpoint of backbone {key!r} cannot be read: {path} {what}{others}.")


def check_weights(key: str, folder: Path) -> None:
    """Refuse a checkpoint folder whose weights are missing or cut, by their headers alone.

    Raises:
        VadprobeError: naming the first file that is wrong, and the cure.
    """
    problem = next(_problems(folder), None)
    if problem is not None:
        raise VadprobeError(f"the checkpoint of backbone {key!r} cannot be read: {problem}.")


def content_digest(folder: Path) -> str:
    """Return the digest of a checkpoint's files; it does not depend on the folder's name."""
    files = content_files(folder)
    with ThreadPoolExecutor(max_workers=4) as pool:
        digests = list(pool.map(digest_file, files))
    return digest_json([[path.name, digest] for path, digest in zip(files, digests, strict=True)])


def content_files(folder: Path) -> list[Path]:
    """Return the files that decide what a checkpoint computes, sorted by name."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if path.suffix in CONTENT_SUFFIXES and path.is_file())


def _problems(folder: Path) -> Iterator[str]:
    if (folder / WEIGHTS).is_file():  # transformers takes it even if there is an index
        yield from filter(None, [_header(folder / WEIGHTS)[1]])
    elif (folder / INDEX).is_file():
        yield from _shards(folder)
    else:
        other = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".gguf"))
        instead = f", only {first_few(other)}, which vadprobe does not open" if other else ""
        yield f"{folder} holds no {WEIGHTS} and no {INDEX}{instead}; download the safetensors weights"


def _shards(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the files that the index names: missing, cut, or without a tensor named there."""
    path = folder / INDEX
    try:
        places = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        names = sorted({str(name) for name in places.values()})
    except (ValueError, LookupError, TypeError, AttributeError):
        yield f"{path} is not an index of weights; {_AGAIN}"
        return
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        yield f"{folder} lacks {first_few(missing)} of {counted(len(names), 'file')} that {INDEX} names; {_AGAIN}"
    for name in names:
        header, problem = _header(folder / name)
        if problem is not None:
            yield problem
        absent = sorted(tensor for tensor, place in places.items() if place == name and tensor not in header)
        if absent:
            yield f"{folder / name} lacks {absent[0]}, which is in it by {INDEX}: they are of two checkpoints; {_AGAIN}"


def _header(path: Path) -> tuple[dict[str, Any], str | None]:
    """Return the header of a file of weights, and a sentence on what is wrong with the file, or None."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > _LONGEST_HEADER:
            return {}, f"{path} does not begin as a safetensors file does ({size_text(size)}); {_AGAIN}"
        content = file.read(length)
    try:
        header = json.loads(content)
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0)
    except (ValueError, LookupError, TypeError, AttributeError):
        cut = f"is cut off: {size_text(size)} are there, but its header alone takes {size_text(8 + length)}"
        return {}, f"{path} {cut if len(content) < length else 'has a header that cannot be read'}; {_AGAIN}"
    if size < whole:
        return header, f"{path} is cut off: {size:,} of {whole:,} bytes are there; {_AGAIN}"
    if size > whole:
        return header, f"{path} has {size:,} bytes, but its header says {whole:,}; {_AGAIN}"
    return header, None
