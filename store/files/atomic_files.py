"""Files that survive a crash: each is written under a temporary name, synced and renamed, then its folder is synced."""

import json
import os
import uuid
from collections.abc import Iterable
from typing import Any

from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath, is_remote


def sync(path: StorePath) -> None:
    """Force a file or folder to the disk; do nothing for an object store, whose answer already means stored."""
    if is_remote(path):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: StorePath, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the whole new one, even after a crash."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Encode a value as JSON, in the form that all JSON files of the project have."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def write_bytes(path: StorePath, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the whole new one, even after a crash."""
    write_pieces(path, [content])


def write_pieces(path: StorePath, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file piece by piece, so that a reader sees the old one or the whole new one, even after a crash."""
    if is_remote(path):
        path.write_bytes(b"".join(pieces))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{uuid.uuid4().hex}.partial")
    try:
        with temporary.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def has_content(path: StorePath, content: bytes) -> bool:
    """Return whether a file can be read and holds just these bytes."""
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def read_json(path: StorePath) -> Any:
    """Read JSON.

    Raises:
        FileNotFoundError: if there is no such file.
        StoreError: if it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{path} is not valid JSON ({error}); it was damaged after it was written.") from error
