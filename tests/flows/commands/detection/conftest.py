"""A detector beside the job whose features it reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.features.selected import read_selected
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.probes.linear import LogisticProbe
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.reading.feature_store import FeatureStore


@pytest.fixture
def fitted(job: Callable[..., Path], run: Any, tmp_path: Path) -> Path:
    """A detector of two heads of the first block, fitted on nothing, beside the job whose features it reads."""
    path = job()
    assert run("extract", path)[0] == 0
    store = FeatureStore.open(load_job(path).stores[0])
    selection = Selection("head", "chosen", ((0, 1), (0, 0)))
    features = read_selected(store, selection, np.arange(len(store.clips)))
    coef = np.random.default_rng(1).standard_normal(features.shape[1])
    probe = LogisticProbe(features.mean(axis=0), features.std(axis=0) + 1e-3, coef, 0.0)
    packed = {"backbone": {"path": load_job(path).config.backbone.path, "frame_size": [56, 56]}}
    locator = Locator(0.0, float(np.median(probe.score(features))))
    detector = Detector("tiny", selection, probe, locator, store.spec, {"dataset": "set"}, packed)
    detector.write(tmp_path / "detector.json")
    return tmp_path / "detector.json"
