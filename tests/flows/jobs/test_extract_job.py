"""Stage 1 of a job in steps: what is counted for the bar of progress."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.extractions import PROMPTS, SEGMENTS, SHALLOW, WHOLE, make_extractor, run_all
from vadprobe.extract.model.backbone import Description
from vadprobe.flows.jobs.extract_job import extract_prepared


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
