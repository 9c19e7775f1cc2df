"""Stage 2: from features to scores and results, from the stores alone and without torch.

What most programs need is here: `from vadprobe.analyze import select, evaluate`.
"""

from typing import TYPE_CHECKING

from vadprobe.store import on_demand

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

__getattr__, __dir__ = on_demand(__name__, _MODULES)
