"""Detection in a stream: segments scored as they come, events as they close.

What programs need is here: `from vadprobe.detect import Detector`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vadprobe.detect.detector import Detector as Detector
    from vadprobe.detect.online.events import Event as Event
    from vadprobe.detect.stream import DetectionOptions as DetectionOptions
    from vadprobe.detect.stream import ScoredSegment as ScoredSegment

_MODULES = {"DetectionOptions": "stream", "Detector": "detector", "Event": "online.events", "ScoredSegment": "stream"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that a single module of the room stays cheap to import."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
