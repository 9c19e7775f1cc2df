"""Stage 2: features to scores, from the cache alone and without torch.

What most programs need is here: `from vadprobe.analyze import select, evaluate`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vadprobe.analyze.evaluation.evaluation import Evaluation as Evaluation
    from vadprobe.analyze.evaluation.measuring import evaluate as evaluate
    from vadprobe.analyze.features.selecting import select as select
    from vadprobe.analyze.saliency.selection import Selection as Selection

_MODULES = {
    "Evaluation": "evaluation.evaluation",
    "Selection": "saliency.selection",
    "evaluate": "evaluation.measuring",
    "select": "features.selecting",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that a single module of the stage stays cheap to import."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
