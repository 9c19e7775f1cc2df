"""Detection in a stream: segments scored as they come, events as they close.

Programs need only the names in this module: `from vadprobe.detect import Detector`.
"""

from typing import TYPE_CHECKING

from vadprobe.store import on_demand

if TYPE_CHECKING:
    from vadprobe.detect.detector import Detector as Detector
    from vadprobe.detect.online.events import Event as Event
    from vadprobe.detect.stream import DetectionOptions as DetectionOptions
    from vadprobe.detect.stream import ScoredSegment as ScoredSegment

_MODULES = {"DetectionOptions": "stream", "Detector": "detector", "Event": "online.events", "ScoredSegment": "stream"}

__getattr__, __dir__ = on_demand(__name__, _MODULES)
