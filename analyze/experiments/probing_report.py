"""Report of probes on every single layer and head, cross-validated by video, under each prompt of a job."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from vadprobe.analyze.calibration.calibration import Calibration
from vadprobe.analyze.calibration.folds import video_folds
from vadprobe.analyze.compute.scheduling import Scheduler
from vadprobe.analyze.compute.step_cache import CachedResult
from vadprobe.analyze.detector.fitting import calibrate
from vadprobe.analyze.evaluation.evaluation import null_for_nan
from vadprobe.analyze.experiments.cases import ExperimentContext, ExperimentJob, varied
from vadprobe.analyze.features.cached_scores import samples_digest
from vadprobe.analyze.features.kernel_mapping import Metrics, map_heads, map_layers
from vadprobe.analyze.probes.unit_probing import probe_units
from vadprobe.store.reading.feature_store import FeatureStore

Probe = Literal["ridge", "logistic"]
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class ProbingReport:
    """Cross-validated AUC by prompt: `layers` (L,) of layers 1 to L, `heads` (L, H) of all blocks; 0.5 is chance.

    `n_samples` calibration samples of `n_videos` videos in `n_folds` folds went into each number.
    """

    probe: Probe
    n_folds: int
    n_samples: int
    n_videos: int
    layers: Mapping[str, np.ndarray]
    heads: Mapping[str, np.ndarray]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; unknown numbers are null."""
        return null_for_nan(
            {
                "probe": self.probe,
                "n_folds": self.n_folds,
                "n_samples": self.n_samples,
                "n_videos": self.n_videos,
                "first_layer": 1,
                "layers": {prompt: auc.tolist() for prompt, auc in self.layers.items()},
                "heads": {prompt: auc.tolist() for prompt, auc in self.heads.items()},
            }
        )

    def lines(self) -> list[str]:
        """Format the best layers and heads of each prompt, with the median of all."""
        lines = [
            f"Cross-validated AUC of a {self.probe} probe on each layer and head: {self.n_samples} samples of "
            f"{self.n_videos} videos in {self.n_folds} folds; 0.5 is chance."
        ]
        for prompt in self.layers:
            for what, auc, first in (("layers", self.layers[prompt], 1), ("heads", self.heads[prompt], 0)):
                order = np.argsort(-auc, axis=None, kind="stable")[:_SHOWN]
                places = [np.unravel_index(number, auc.shape) for number in order]
                names = [":".join(str(int(part) + first) for part in place) for place in places]
                best = ", ".join(f"{name} {auc[place]:.3f}" for name, place in zip(names, places, strict=True))
                lines.append(f"  {prompt}, {what}: {best}; the median of {auc.size} is {np.median(auc):.3f}")
        lines.append("  The best of many looks better than it is, so no number here is a result.")
        return lines


def probing_report(lab: ExperimentContext, case: ExperimentJob, n_folds: int, probe: Probe) -> ProbingReport:
    """Probe the calibration samples of a job.

    Raises:
        VadprobeError: if there are fewer videos of a class than folds.
    """
    layers, heads = {}, {}
    for prompt in case.prompts:
        lab.report(f"prompt {prompt}", "")
        inputs = case.inputs(varied(case.config, score_prompt=prompt))
        calibration, _ = calibrate(inputs, case.config.calibration)
        folds = video_folds(calibration.labels, calibration.groups, n_folds, case.config.seed)
        store = inputs.calibration[prompt]
        kernel = partial(_auc, labels=calibration.labels, folds=folds, probe=probe)
        key = {**samples_digest(store, calibration), "folds": folds.tolist(), "probe": probe}
        compute = partial(_probed, store, calibration, kernel, lab.scheduler)
        found = lab.cache.result("unit-probing", key, compute).arrays
        layers[prompt], heads[prompt] = found["layers"], found["heads"]
    n_videos = len(np.unique(calibration.groups))
    return ProbingReport(probe, n_folds, len(calibration.rows), n_videos, layers, heads)


def _probed(
    store: FeatureStore, calibration: Calibration, kernel: Callable[[np.ndarray], Metrics], scheduler: Scheduler
) -> CachedResult:
    layers = map_layers(store, calibration.rows, kernel, scheduler, what="layers")
    heads = map_heads({"": store}, calibration.rows, kernel, scheduler, what="heads")[""]
    return CachedResult(arrays={"layers": layers["auc"], "heads": heads["auc"]})


def _auc(features: np.ndarray, labels: np.ndarray, folds: np.ndarray, probe: Probe) -> dict[str, np.ndarray]:
    return {"auc": probe_units(features, labels, folds, probe=probe).auc}
