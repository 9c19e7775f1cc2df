"""Parts of methods by name: those of this package, and those that other installed packages add."""

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
    """Parts of one sort by the name that a job gives them, in the order they were added."""

    def __init__(self, what: str, parts: Mapping[str, T]) -> None:
        """Begin with the parts of this package; `what` is the sort in words, such as "selection rule"."""
        self._what = what
        self._parts = dict(parts)

    def add(self, name: str, part: T) -> None:
        """Add a part; to be called when the module that defines it is imported.

        Raises:
            VadprobeError: if another part has the name.
        """
        known = self._parts.get(name)
        if known is not None and known is not part:
            raise VadprobeError(f"the {self._what} {name!r} must have a name of its own; {known!r} has it already.")
        self._parts[name] = part

    def remove(self, name: str) -> None:
        """Take a part away again."""
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
    """Return a step's key for the source of a part of another package; empty for one of this package.

    Steps know the source of this package already. Without the key a changed addition would find its old results.
    """
    module = part.__module__
    if module.partition(".")[0] == __name__.partition(".")[0]:
        return {}
    try:
        source = inspect.getsource(sys.modules[module])
    except (OSError, TypeError, KeyError):
        source = module  # of a session that keeps no source
    return {"code": hashlib.sha256(source.encode()).hexdigest()}
