"""Options that name places, and parts of a store: videos, layers, heads."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vadprobe.store.errors import VadprobeError
from vadprobe.store.location import location


def place(text: str) -> Path:
    """A folder or URL on the command line; what is wrong with it becomes the parser's message."""
    try:
        return location(text)
    except VadprobeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def video_names(given: str | None) -> tuple[str, ...] | None:
    """Videos: names, separated by commas, or ``@FILE`` with one per line."""
    if given is None:
        return None
    if not given.startswith("@"):
        return tuple(word_list(given))
    path = Path(given[1:])
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VadprobeError(
            f"--videos: {path} cannot be read ({error}); a text file with one name per line is wanted."
        ) from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise VadprobeError(f"--videos: {path} names no video.")
    return names


def head_list(given: str | None) -> tuple[tuple[int, int], ...] | None:
    """Heads: ``block:head,block:head``."""
    if given is None:
        return None
    heads = []
    for word in word_list(given):
        block, separator, head = word.partition(":")
        if not (separator and block.isdecimal() and head.isdecimal()):
            raise VadprobeError(f"--heads has {word!r}; block:head is wanted, for example 14:3,20:7.")
        heads.append((int(block), int(head)))
    return tuple(heads)


def number_list(name: str, given: str | None) -> tuple[int, ...] | None:
    """Whole numbers from 0, separated by commas; ``name`` is the option, for the message."""
    if given is None:
        return None
    for word in word_list(given):
        if not word.isdecimal():
            raise VadprobeError(f"{name} has {word!r}; whole numbers from 0, separated by commas, are wanted.")
    return tuple(int(word) for word in word_list(given))


def word_list(given: str) -> Sequence[str]:
    """Words, separated by commas."""
    return [word.strip() for word in given.split(",") if word.strip()]
