"""Findings about vadprobe's own packages: versions, and which extras are completely installed."""

import importlib.metadata
import platform
import re
from collections.abc import Iterator

from vadprobe.flows.commands.setup.diagnosis.finding import Finding

_PURPOSES = {
    "extract": "stage 1: videos to features",
    "analyze": "stage 2: features to scores",
    "flows": "runs for a team, with Prefect",
    "demo": "the generated set",
    "remote": "stores behind s3://, gs://, az://, http://",
    "convert": "tokenizers of InternVL2 and Holmes-VAU",
    "spread": "one model over several GPUs",
}
"""Purpose of each extra; those that most people need come first."""
_EXTRA = re.compile(r"""extra\s*==\s*["']([a-z]+)["']""")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def package_findings() -> Iterator[Finding]:
    """Yield the version of vadprobe and Python, and one finding for each extra."""
    version = importlib.metadata.version("vadprobe")
    about = f"{version}, Python {platform.python_version()}, {platform.platform(terse=True)}"
    yield Finding("vadprobe", "good", about)
    needed = _needed_by_extra()
    for extra, purpose in _PURPOSES.items():
        if extra not in needed:
            continue  # metadata of an older version is installed
        found = {name: _version(name) for name in needed[extra]}
        missing = [name for name, version in found.items() if version is None]
        if missing:
            yield Finding(
                f"[{extra}]",
                "note",
                f"not installed ({purpose}): {', '.join(missing)} missing",
                f"pip install 'vadprobe[{extra}]', if you need it",
            )
        else:
            text = ", ".join(f"{name} {version}" for name, version in found.items())
            yield Finding(f"[{extra}]", "good", f"{purpose}: {text}")


def has_package(name: str) -> bool:
    """Return True if a distribution is installed."""
    return _version(name) is not None


def _needed_by_extra() -> dict[str, list[str]]:
    """Return the distributions that each extra needs on this platform, from the metadata of the installed vadprobe."""
    needed: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("vadprobe") or ():
        extra, name = _EXTRA.search(line), _NAME.match(line)
        if extra and name and name.group() != "vadprobe" and "platform_machine" not in line:
            needed.setdefault(extra.group(1), []).append(name.group())
    return needed


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
