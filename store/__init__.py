"""Feature stores: planning and writing them, reading them, and checking them. Knows no torch and no Dask.

What most programs need is here: `from vadprobe.store import FeatureStore, plan, verify`.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
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


def on_demand(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package whose public names are imported when they are first asked for.

    So a single module of the package stays cheap to import.

    Args:
        package: its name.
        modules: module of each public name, relative to the package.
    """

    def value_of(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return value_of, names


__getattr__, __dir__ = on_demand(__name__, _MODULES)
