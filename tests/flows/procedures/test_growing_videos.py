"""A folder that gains videos between two runs of `extract-features`: only these are computed, and analyses go on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore")  # Prefect and what it loads warn about each other's interfaces


@pytest.mark.slow
def test_a_run_computes_the_videos_that_came_since(
    prefect: None, job: Callable[..., Path], write_video: Callable[..., Path]
) -> None:
    from vadprobe.flows.extract_features import extract_features

    def run(path: Path) -> str:
        return str(extract_features(str(path), return_state=True).result())

    settings: dict[str, Any] = {"length": 2, "more": '[extraction]\nnew_videos = "append"'}
    path = job(**settings)
    write_video(path.parent / "videos" / "clip0.mp4", n_frames=510)
    assert "Worked on 265 of 265 clips" in run(path)
    (store,) = (path.parent / "features").rglob("*.zarr")
    shards = {shard: shard.read_bytes() for shard in store.glob("*/c/0/0/**/*") if shard.is_file()}
    before = FeatureStore.open(store).answer_logits(np.arange(256))
    assert "Nothing to compute" in run(path)
    write_video(path.parent / "videos" / "a.mp4", n_frames=7)  # by its name it would be the first
    assert f"Worked on {265 + 4 - 256} of 269 clips" in run(path)
    after = FeatureStore.open(store)
    assert after.clips.video_ids == ("clip0", "clip1", "a")
    assert after.written.all()
    assert after.answer_logits(np.arange(256)).tobytes() == before.tobytes()
    assert {shard: shard.read_bytes() for shard in shards} == shards
    assert verify(store).problems == ()
    assert "Nothing to compute" in run(job(length=2))  # the folder's order is not that of the rows
