"""Findings about places: free space here, and reading and writing at the root of stores."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vadprobe.flows.commands.setup.diagnosis.finding import Finding
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath, can_list, is_remote
from vadprobe.store.files.remote_path import RemotePath
from vadprobe.store.files.text import size_text

_FEW_BYTES = 5e9


def place_findings(root: StorePath, *, write: bool = False) -> Iterator[Finding]:
    """Yield findings on reading and writing at the root of stores.

    Args:
        root: a folder, which need not exist yet, or a URL.
        write: for a URL, put an object there, replace it on a condition, and delete it; a folder is always tried.
    """
    if not is_remote(root):
        yield from _folder_findings(Path(root))
        return
    try:
        yield _reading(root)
        if write:
            yield _writing(root / f"vadprobe-doctor-{secrets.token_hex(8)}")
    except (VadprobeError, OSError) as error:
        yield Finding("stores", "problem", str(error).rstrip("."), "correct what the message names, and try again")


def disk_finding(part: str, folder: Path) -> Finding:
    """Return a finding on the free space where a folder is or would be."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    text = f"{size_text(free)} free at {existing.absolute()}"
    if free < _FEW_BYTES:
        return Finding(part, "note", text, "'vadprobe plan JOB' says how much space a job needs")
    return Finding(part, "good", text)


def _folder_findings(root: Path) -> Iterator[Finding]:
    existing = next(path for path in (root, *root.absolute().parents) if path.exists())
    if not existing.is_dir():
        yield Finding("stores", "problem", f"{existing} is not a folder", "name another root")
        return
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"vadprobe")
    except OSError as error:
        text = f"{existing} cannot be written ({error.strerror}); it can be read"
        yield Finding("stores", "problem", text, "ask for permission to write, or name another root")
    else:
        does = "can be read and written" if root.is_dir() else "does not exist yet, but can be created and written"
        yield Finding("stores", "good", f"{root} {does}")
    yield disk_finding("disk", root)


def _reading(root: RemotePath) -> Finding:
    if not can_list(root):
        return Finding(
            "stores", "note", f"{root} is a web server: stores there can only be read, each by its full address"
        )
    first = next(iter(root.iterdir()), None)
    text = f"{root} can be listed, and is empty" if first is None else f"{root} can be listed; first entry {first.name}"
    return Finding("stores", "good", text)


def _writing(path: RemotePath) -> Finding:
    """Try the operation that claims of several machines need: an object is created only where there is none."""
    path.create(b"first")
    try:
        path.create(b"second")
    except FileExistsError:
        return Finding(
            "writing",
            "good",
            f"{path.parent} can be written by several machines at once (the server supports conditional writes)",
        )
    finally:
        path.unlink(missing_ok=True)
    return Finding(
        "writing",
        "problem",
        f"{path.parent} can be written, but the server ignores the conditions of writes (If-None-Match)",
        "let only one machine at a time write there",
    )
