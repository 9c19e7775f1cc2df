"""A detector on a tiny backbone, and the scores that the cached pipeline gives with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.extractions import SEGMENTS, make_extractor, run_all, store_of
from vadprobe.analyze.detector.detector import Detector as FittedDetector
from vadprobe.analyze.features.selected import read_selected
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.locator.smoothing import smooth
from vadprobe.analyze.probes.kinds.linear import LogisticProbe
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.reading.feature_store import FeatureStore


@dataclass(frozen=True)
class Cached:
    """A store, and what is chosen in it."""

    store: FeatureStore
    backbone: Path

    def detector(
        self, unit: str, sigma: float = 0.8, heads: tuple[tuple[int, int], ...] = ((1, 0), (0, 1))
    ) -> FittedDetector:
        """Make a detector whose raw scores are spread around its threshold."""
        indices = ((1,),) if unit == "layer" else heads
        selection = Selection(unit, "chosen", indices)  # type: ignore[arg-type]
        features = read_selected(self.store, selection, np.arange(len(self.store.clips)))
        generator = np.random.default_rng(0)
        probe = LogisticProbe(
            mean=features.mean(axis=0),
            scale=features.std(axis=0) + 1e-3,
            coef=generator.standard_normal(features.shape[1]),
            intercept=0.0,
        )
        smoothed = smooth(probe.score(features), sigma, self.store.clips.video_codes)
        threshold = float(np.median(smoothed)) + 1e-9
        provenance: dict[str, Any] = {"dataset": "set", "notes": ["A note."]}
        backbone = {"path": str(self.backbone), "frame_size": self.store.spec.recipe["frame_size"]}
        locator = Locator(sigma, threshold)
        return FittedDetector("tiny", selection, probe, locator, self.store.spec, provenance, {"backbone": backbone})


@pytest.fixture(scope="session")
def cached(
    tmp_path_factory: pytest.TempPathFactory,
    video_folder: Path,
    describe_tiny: Callable[..., Any],
    tiny_backbones: Mapping[str, Path],
) -> Cached:
    """Features of three small videos, extracted as stage 1 does it."""
    return extracted(tmp_path_factory.mktemp("cached"), video_folder, describe_tiny, tiny_backbones, "qwen2_5_vl")


def extracted(
    root: Path,
    videos: Path,
    describe_tiny: Callable[..., Any],
    tiny_backbones: Mapping[str, Path],
    family: str,
    **settings: Any,
) -> Cached:
    """Extract the features of small videos with the tiny backbone of a family."""
    extractor = make_extractor(
        videos, root, describe_tiny(family, **settings), [SHIPPED["coarse"]], [SEGMENTS], batch_clips=1
    )
    run_all(extractor)
    return Cached(store_of(extractor), tiny_backbones[family])
