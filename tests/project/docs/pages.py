"""The pages that people read, and the blocks of code in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not path.is_symlink())
READ = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *PAGES]
"""Every page with commands in it; those of reference/commands.md are made from the commands."""
_FENCE = re.compile(r"^ *```([\w-]*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_SHELL = ("", "bash", "sh", "console")
_ENDS = ("|", "||", ">", ">>", "2>", "&&", "&", ";")
_BEFORE = ("srun", "time", "exec")


def blocks(path: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of a page in one of the languages."""
    return [text for language, text in _FENCE.findall(path.read_text(encoding="utf-8")) if language in languages]


def commands(path: Path) -> Iterator[list[str]]:
    """Yield the words behind `vadprobe` of every command in the shell blocks of a page."""
    for block in blocks(path, *_SHELL):
        for line in block.replace("\\\n", " ").splitlines():
            text = line.strip().removeprefix("$ ")
            if "vadprobe " not in text or text.startswith(("vadprobe: ", "#", "vadprobe COMMAND")):
                continue
            for part in _parts(text):
                words = part[1:] if part and part[0] in _BEFORE else part
                if words and words[0] == "vadprobe":
                    yield words[1:]


def _parts(text: str) -> list[list[str]]:
    """Return the words of each command of a line, cut where the shell cuts; redirections end a command."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if word in _ENDS:
            found.append([])
        else:
            found[-1].append(word)
    return found
