"""Feature stores: planning and writing them, reading them, and checking them. Knows no torch and no Dask.

What most programs need is here: `from vadprobe.store import FeatureStore, plan, verify`.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vadprobe.store.errors import StoreError as StoreError
    from vadprobe.store.errors import VadprobeError as VadprobeError
    from vadprobe.store.format.clip_table import ClipTable as ClipTable
    from vadprobe.store.format.specification import BackboneSpec as BackboneSpec
    from vadprobe.store.format.specification import FeatureSpec as FeatureSpec
    from vadprobe.store.reading.feature_store import FeatureStore as FeatureStore
    from vadprobe.store.reading.feature_store import open_store as open_store
    from vadprobe.store.verification.verify import verify as verify
    from vadprobe.store.writing.partition_data import PartitionData as PartitionData
    from vadprobe.store.writing.writer import StoreWriter as StoreWriter
    from vadprobe.store.writing.writer import plan as plan

_MODULES = {
    "BackboneSpec": "format.specification",
    "ClipTable": "format.clip_table",
    "FeatureSpec": "format.specification",
    "FeatureStore": "reading.feature_store",
    "PartitionData": "writing.partition_data",
    "StoreError": "errors",
    "StoreWriter": "writing.writer",
    "VadprobeError": "errors",
    "open_store": "reading.feature_store",
    "plan": "writing.writer",
    "verify": "verification.verify",
}

# Cards of earlier stores print "from vadprobe.store.reader import FeatureStore".
sys.modules[f"{__name__}.reader"] = sys.modules[__name__]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that a single module of the store stays cheap to import."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
