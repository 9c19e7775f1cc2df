"""Safe file names for videos and other things whose own names may hold any characters."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

from vadprobe.store.errors import VadprobeError

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_key(name: str) -> bool:
    """Return whether a name is a valid folder name on every file system."""
    return _KEY.fullmatch(name) is not None


def check_key(what: str, key: str) -> str:
    """Return `key` if it is a valid folder name on every file system, else raise `VadprobeError`."""
    if not is_key(key):
        raise VadprobeError(
            f"{what} is {key!r}, but it names a folder: use letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit."
        )
    return key


_LITTER = re.compile(
    r"\.DS_Store|\._.*|\.(Spotlight|Trash|fseventsd).*|Thumbs\.db|desktop\.ini|@eaDir"  # file managers, a disk station
    r"|\.(gitkeep|keep|s3keep|placeholder|nfs[0-9a-f]+|fuse_hidden[0-9a-f]+)|.*_\$folder\$",  # what keeps folders
    re.IGNORECASE,
)


def is_litter(name: str) -> bool:
    """Return whether file managers, consoles or file systems use this name for files of their own, without data."""
    return _LITTER.fullmatch(name) is not None


_PLAIN = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._ #@=+,()-]{0,118}[A-Za-z0-9_#@=+,()-])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LONGEST = 60


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return a file name, without suffix, for each name: itself where that is safe, else a part of it and a digest.

    A safe name begins with a letter, digit or `_`, has no separator, and is no device name of Windows; so it is never
    `..` or a command line option. Names that differ only in case get a digest each, since many file systems cannot tell
    them apart. A digest follows a `~`, which no safe name contains.
    """
    names = list(names)
    alike = Counter(name.casefold() for name in names)
    return {name: name if alike[name.casefold()] == 1 and _is_plain(name) else _digested(name) for name in names}


def _is_plain(name: str) -> bool:
    return _PLAIN.fullmatch(name) is not None and _RESERVED.fullmatch(name) is None


def _digested(name: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:_LONGEST] or "video"
    return f"{slug}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
