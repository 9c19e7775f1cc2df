"""A detector of two heads for the features of a job, made without any fit."""

from pathlib import Path

import numpy as np

from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.features.selected import read_selected
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.probes.kinds.linear import LogisticProbe
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.reading.feature_store import FeatureStore


def write_detector(job: Path, path: Path) -> Path:
    """Write a detector of two heads of the first block; its threshold is the median score of the segments."""
    loaded = load_job(job)
    store = FeatureStore.open(loaded.stores[0])
    selection = Selection("head", "chosen", ((0, 1), (0, 0)))
    features = read_selected(store, selection, np.arange(len(store.clips)))
    coef = np.random.default_rng(1).standard_normal(features.shape[1])
    probe = LogisticProbe(features.mean(axis=0), features.std(axis=0) + 1e-3, coef, 0.0)
    packed = {"backbone": {"path": loaded.config.backbone.path, "frame_size": [56, 56]}}
    locator = Locator(0.0, float(np.median(probe.score(features))))
    Detector("tiny", selection, probe, locator, store.spec, {"dataset": "set"}, packed).write(path)
    return path
