"""Small files that stand in the place of others which were never fetched: pointers, and web pages saved as files."""

import re
from pathlib import Path

from vadprobe.store.files.text import size_text

_READ = 1024
_LARGEST = 2**20  # no pointer is as long, and few web pages are
_LFS = re.compile(rb"version https?://(git-lfs|hawser)\.[^\n]*\n(?:.*\n)*?size ([0-9]+)\s")
_ANNEX = re.compile(rb"[^\n]*\.git/annex/objects/[^\n]*|/annex/objects/[^\n]*")
_ANNEX_SIZE = re.compile(rb"-s([0-9]+)[-.]")
_PAGE = re.compile(rb"\s*(<!doctype html|<html|<\?xml[^>]*>\s*<(html|error))", re.IGNORECASE)


def stand_in(path: Path) -> str | None:
    """Return the end of a sentence that says what stands in a file's place and what to do; None for a real file.

    Only the first kilobyte of small files is read. The result for an unreadable file is None: its reader reports the
    error.
    """
    try:
        if path.stat().st_size > _LARGEST:
            return None
        with path.open("rb") as file:
            head = file.read(_READ)
    except (OSError, ValueError):  # a null character in the path
        return None
    if found := _LFS.match(head):
        return f"is a Git LFS pointer: the file itself ({size_text(int(found[2]))}) was not fetched; run 'git lfs pull'"
    if _ANNEX.match(head):
        size = _ANNEX_SIZE.search(head)
        what = f" ({size_text(int(size[1]))})" if size else ""
        return f"is a git-annex pointer: the file itself{what} was not fetched; run 'git annex get' there"
    if _PAGE.match(head):
        return "is a web page that was saved in its place; download it again, signed in if the site asks for it"
    return None
