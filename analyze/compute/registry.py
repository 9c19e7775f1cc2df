"""Registries of selection rules, probes and thresholds by name, to which other installed packages can add."""

import hashlib
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from vadprobe.store.errors import VadprobeError

GROUP = "vadprobe.methods"
"""Entry points of other packages: modules that call `Registry.add` when they are imported."""

T = TypeVar("T")


class Registry(Generic[T]):
    """Parts of one kind by the name that a job gives them, in the order in which they were added."""

    def __init__(self, what: str, parts: Mapping[str, T]) -> None:
        """Begin with the parts of this package; `what` is the kind of part in words, such as "selection rule"."""
        self._what = what
        self._parts = dict(parts)

    def add(self, name: str, part: T) -> None:
        """Add a part; the module that defines it calls this when it is imported.

        Raises:
            VadprobeError: if another part has the name.
        """
        known = self._parts.get(name)
        if known is not None and known is not part:
            raise VadprobeError(f"the {self._what} {name!r} must have a name of its own; {known!r} has it already.")
        self._parts[name] = part

    def remove(self, name: str) -> None:
        """Remove a part."""
        del self._parts[name]

    @property
    def names(self) -> tuple[str, ...]:
        """All names."""
        load_additions()
        return tuple(self._parts)

    def __getitem__(self, name: str) -> T:
        """Return a part by its name.

        Raises:
            VadprobeError: if there is none.
        """
        if name not in self._parts:
            load_additions()
        if name not in self._parts:
            raise VadprobeError(
                f"the {self._what} must be one of {', '.join(self._parts)}, got {name!r}. If another "
                "package adds it, install that package (docs/how-to/extend/method.md)."
            )
        return self._parts[name]


@cache
def load_additions() -> None:
    """Import the modules that installed packages name under the entry points `GROUP`, once."""
    for point in entry_points(group=GROUP):
        point.load()


def added_code(part: object) -> dict[str, str]:
    """Return the entry of a step's key with the source of another package's part; empty for a part of this package.

    A step's key covers the source of this package already. Without this entry, a changed part of another package would
    reuse old results.
    """
    module = part.__module__
    if module.partition(".")[0] == __name__.partition(".")[0]:
        return {}
    try:
        source = inspect.getsource(sys.modules[module])
    except (OSError, TypeError, KeyError):
        source = module  # defined in an interactive session, without source
    return {"code": hashlib.sha256(source.encode()).hexdigest()}
