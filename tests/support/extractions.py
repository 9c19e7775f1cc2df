"""Extractions of small videos with tiny backbones: planned, run, and read back."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.profiles import LONG
from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.model.backbone import Backbone, Description, load
from vadprobe.extract.pipeline import extraction
from vadprobe.extract.pipeline.claim_loop import Listener, compute_pending
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.open_partition import ClipDone, PartitionKey
from vadprobe.extract.pipeline.planning import plan_extraction
from vadprobe.store.claims.claim import Claim
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.prompts import SHIPPED, Prompt
from vadprobe.store.reading.feature_store import FeatureStore

PROMPTS = (SHIPPED["coarse"], SHIPPED["question"])
SEGMENTS = SamplingConfig(unit="segment", clip_length=8, frames_per_clip=4)
WHOLE = SamplingConfig(unit="video", frames_per_clip=3)
SHALLOW: dict[str, Any] = {"layers": (0, 1), "heads": ((0, 1),), "answers": False}
"""Settings under which passes end after the first block, for tests that do not look at features."""
ARRAYS = ("hidden_states", "head_outputs", "answer_logits")
_PROBES: dict[tuple[Any, ...], bytes] = {}


@contextmanager
def load_once() -> Iterator[None]:
    """Load the weights of a description only once for each way of loading; in the long profile, always anew."""
    loaded: list[tuple[Description, tuple[Any, ...], Backbone]] = []

    def load_known(description: Description, device: str, threads: int | None = None, **more: Any) -> Backbone:
        options = (device, threads, more)
        for known, others, backbone in loaded:
            if known is description and others == options:
                return backbone
        loaded.append((description, options, load(description, device, threads, **more)))
        return loaded[-1][2]

    with pytest.MonkeyPatch.context() as patch:
        if not LONG:
            patch.setattr(extraction, "load", load_known)
        yield


def dataset_in(videos: Path) -> Dataset:
    """Return the dataset "set" of a folder of videos."""
    return open_dataset(DatasetConfig(name="set", videos=str(videos)), Path())


def make_extractor(
    videos: Path,
    root: Path,
    description: Description,
    prompts: Sequence[Prompt] = PROMPTS,
    samplings: Sequence[SamplingConfig] = (SEGMENTS,),
    **settings: Any,
) -> Extractor:
    """Plan an extraction and open it; in the short profile, videos that were probed before are not probed again."""
    config = ExtractionConfig(**{"device": "cpu", "threads": 1, "batch_clips": 4, **settings})
    dataset = dataset_in(videos)
    probes = DatasetLayout(root, "set").videos
    files = sorted(path for path in videos.rglob("*") if path.is_file())
    state = (videos, *((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))
    known = None if LONG else _PROBES.get(state)
    if known and not probes.exists():
        probes.parent.mkdir(parents=True, exist_ok=True)
        probes.write_bytes(known)
    plan = plan_extraction(dataset, root, samplings, prompts, description, config)
    _PROBES[state] = probes.read_bytes()
    return Extractor(dataset, plan, description, config)


def run_all(extractor: Extractor) -> list[dict[int, str]]:
    """Compute the pending partitions and commit; return the failed rows of each sampling with their reasons."""
    compute_pending(extractor, Listener())
    return extractor.commit()


def run_one(
    extractor: Extractor, key: tuple[int, int], clip_done: ClipDone = lambda computed: None, claim: Claim | None = None
) -> dict[int, str]:
    """Compute and write one partition; return its failed rows with their reasons."""
    key = PartitionKey(*key)
    with nullcontext(claim) if claim else extractor.claims(key.position).hold(key.partition) as held:
        (outcome,) = extractor.stream([(key, held)], clip_done)
    assert outcome.lost is None
    return outcome.failures


def store_of(extractor: Extractor, prompt: int = 0, position: int = 0) -> FeatureStore:
    return FeatureStore.open(extractor.plan.samplings[position].writers[prompt].path)


def features_of(store: FeatureStore) -> dict[str, np.ndarray]:
    """Read every row of every array."""
    rows, spec = np.arange(len(store.clips)), store.spec.backbone
    return {
        "hidden_states": store.hidden_states(rows, range(spec.n_layers + 1)),
        "head_outputs": store.blocks(rows, range(spec.n_layers)),
        "answer_logits": store.answer_logits(rows),
    }


def largest_difference(
    mine: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], rows: Any = slice(None)
) -> float:
    return max(float(np.abs(mine[name][rows] - theirs[name][rows]).max()) for name in ARRAYS)


def assert_bit_equal(mine: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> None:
    for name in ARRAYS:
        assert mine[name].tobytes() == theirs[name].tobytes(), name


def refuse_to_load(*arguments: Any) -> Backbone:
    raise AssertionError("weights were loaded")
