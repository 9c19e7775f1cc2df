"""Timings of texts that a backbone writes, in a file beside the texts; runs on one kind of device are added up."""

from dataclasses import asdict, dataclass
from pathlib import Path

from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import read_json, write_json

NAME = "text_timings.json"
"""Name of the file beside the texts."""

VERSION = 1


@dataclass(frozen=True)
class TextTimings:
    """Seconds of texts, until the first token of each and for the tokens behind it.

    Attributes:
        features: digest of the specification of the store whose clips the texts are about.
        device: name of the device.
        dtype: number type of weights and passes.
        texts: number of texts.
        first: seconds until the first token of each was known, the pass over the clip included.
        later: seconds for the tokens behind the first ones.
        later_tokens: number of these. A batch runs until its longest text ends, and tokens behind a text's end count
            too.
    """

    features: str
    device: str
    dtype: str
    texts: int
    first: float
    later: float
    later_tokens: int

    def seconds(self, tokens: int) -> float | None:
        """Return the seconds of one text of `tokens` tokens at these speeds; None if no second token was timed."""
        if not self.texts or not self.later_tokens:
            return None
        return self.first / self.texts + (tokens - 1) * self.later / self.later_tokens

    def added(self, before: "TextTimings | None") -> "TextTimings":
        """Return the sum with those of an earlier run about the same features on the same kind of device."""
        names = ("features", "device", "dtype")
        if before is None or any(getattr(self, name) != getattr(before, name) for name in names):
            return self
        counts = ("texts", "first", "later", "later_tokens")
        return TextTimings(
            self.features, self.device, self.dtype, *(getattr(self, name) + getattr(before, name) for name in counts)
        )

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_json(path, {"version": VERSION, **asdict(self)})


def read_text_timings(path: Path, features: str) -> TextTimings | None:
    """Read the timings of texts about some features; None where there are none, or none that can be read."""
    try:
        content = read_json(path)
        if content.pop("version") != VERSION:
            return None
        found = TextTimings(**content)
    except (OSError, StoreError, KeyError, TypeError, AttributeError):
        return None
    return found if found.features == features else None
