"""Extraction straight into an object store: the bytes of an extraction into a folder, by any number of workers."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.processes.remote_servers import Faults, bucket_at_hand
from tests.support.processes.waiting import PATIENCE

pytest.importorskip("obstore", reason="the package for URLs is not installed")
pytest.importorskip("moto", reason="the S3 server of the tests is not installed")

from vadprobe.extract.configuration import ExtractionConfig
from vadprobe.extract.pipeline.claim_loop import Listener, compute_pending
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.planning import plan_extraction
from vadprobe.flows.jobs.extract_job import finish
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.files.location import location
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing.timings.run_timings import FOLDER

SEGMENTS = SamplingConfig(unit="segment", clip_length=8, frames_per_clip=2, layers=(0, 3), heads=((1, 2),))


@pytest.fixture(scope="module")
def bucket():
    with bucket_at_hand(Faults()) as url:
        yield location(f"{url}/stores")


def extracted(videos: Path, root: Any, description: Any) -> Extractor:
    """One worker's way from plan to commit."""
    config = ExtractionConfig(device="cpu", threads=1, batch_clips=4)
    dataset = open_dataset(DatasetConfig(name="set", videos=str(videos)), Path())
    prompts = (SHIPPED["coarse"], SHIPPED["question"])
    extractor = Extractor(dataset, plan_extraction(dataset, root, [SEGMENTS], prompts, description, config),
                          description, config)  # fmt: skip
    done = compute_pending(extractor, Listener(tell=lambda text: None))
    extractor.summary = finish(extractor, done)  # type: ignore[attr-defined]
    return extractor


def contents(root: Any) -> Mapping[str, bytes]:
    skipped = (".planning", "README.md")
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name not in skipped and FOLDER not in path.parts  # timings differ
    }


@pytest.mark.slow
def test_two_workers_write_into_a_bucket_what_one_writes_into_a_folder(
    bucket: Any, video_folder: Path, describe_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    description = describe_tiny("qwen2_5_vl")
    wanted = extracted(video_folder, tmp_path / "stores", description)
    with ThreadPoolExecutor(2) as pool:
        for worker in [pool.submit(extracted, video_folder, bucket, description) for _ in range(2)]:
            worker.result(PATIENCE)
    assert contents(bucket) == contents(tmp_path / "stores")
    again = extracted(video_folder, bucket, description)
    assert again.summary.n_computed == 0  # type: ignore[attr-defined]
    for writer in again.plan.samplings[0].writers:
        assert verify(writer.path).problems == ()
    local = FeatureStore.open(wanted.plan.samplings[0].writers[0].path)
    remote = FeatureStore.open(again.plan.samplings[0].writers[0].path)
    rows = np.flatnonzero(local.written)
    np.testing.assert_array_equal(remote.head_outputs(rows, [(1, 2)]), local.head_outputs(rows, [(1, 2)]))
