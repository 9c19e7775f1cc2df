"""Stage 1 of a job in steps: what is counted for the bar of progress, and what is told at the end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.extractions import PROMPTS, SEGMENTS, SHALLOW, WHOLE, make_extractor, run_all
from vadprobe.extract.model.backbone import Description
from vadprobe.flows.jobs.extract_job import extract, extract_prepared
from vadprobe.flows.jobs.job import load_job
from vadprobe.flows.jobs.plan_job import finished


def test_clips_that_other_workers_have_computed_are_counted(
    tmp_path: Path, video_folder: Path, describe_tiny: Callable[..., Description], monkeypatch: pytest.MonkeyPatch
) -> None:
    samplings = [sampling.model_copy(update=SHALLOW) for sampling in (SEGMENTS, WHOLE)]
    mine, other = (
        make_extractor(video_folder, tmp_path, describe_tiny("internvl"), PROMPTS, samplings) for _ in range(2)
    )
    before = mine.pending()
    run_all(other)
    done: list[bool] = []
    monkeypatch.setattr(mine, "pending", lambda: before)  # the other worker has done it all since
    assert extract_prepared(mine, done.append).n_computed == 0
    assert done == [True] * 12


def test_a_finished_job_tells_the_same_with_and_without_its_checkpoint(job: Callable[..., Path]) -> None:
    path = job()
    (path.parent / "videos" / "broken.mp4").write_bytes(b"no video")
    loaded = load_job(path)
    assert finished(loaded) is None  # never described
    first = extract(loaded)
    assert first.n_computed == first.n_clips > 0
    assert "broken" in next(iter(first.unreadable_videos))
    assert finished(loaded) == replace(first, n_computed=0)
    assert extract(loaded) == finished(loaded)
    (store,) = loaded.root.glob("*/*/*/coarse.zarr")
    next(store.with_suffix(".records").iterdir()).unlink()
    assert finished(loaded) is None  # something is left
    assert extract(loaded).n_computed > 0
