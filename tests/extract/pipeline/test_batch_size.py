"""The number of clips that go through the model at once: fixed, measured, and fewer when memory runs out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.extractions import ARRAYS, features_of, make_extractor, run_all, run_one, store_of
from tests.support.oracles.eager_reference import ROUNDING
from vadprobe.extract.model import shared_prefix
from vadprobe.extract.model.backbone import Description
from vadprobe.extract.model.capture import capture_positions
from vadprobe.extract.pipeline.batch_size import MOST_CLIPS, BatchSize, n_fitting
from vadprobe.store.errors import VadprobeError
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify

pytestmark = pytest.mark.usefixtures("loaded_once")
CPU = torch.device("cpu")


def test_a_fixed_number_is_that_number_everywhere() -> None:
    assert BatchSize(3, CPU).size == BatchSize(3, torch.device("cuda")).size == 3


def test_memory_is_measured_on_a_gpu_only() -> None:
    assert BatchSize("auto", CPU).size == 8
    assert BatchSize("auto", torch.device("cuda")).size is None


@pytest.mark.parametrize(
    ("peaks", "free", "count"),
    [
        ([], 10**12, 1),  # not even one clip fitted
        ([100], 10**12, 1),  # two did not
        ([100, 200], 1000, 8),  # 850 bytes: 100 for the first, 100 for each of seven others
        ([300, 310], 500, 13),  # most of it is no clip's own
        ([100, 200], 90, 1),
        ([100, 200], 10**12, MOST_CLIPS),
        ([100, 100], 10**6, MOST_CLIPS),
    ],
)
def test_as_many_clips_as_fit(peaks: list[int], free: int, count: int) -> None:
    assert n_fitting(peaks, free) == count


def test_the_size_follows_what_one_and_two_clips_take(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 5000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5000 + 100 * ran[-1])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 10**6))
    batch_size = BatchSize("auto", torch.device("cuda"))
    assert batch_size.measure(ran.append) == 8
    assert (ran, batch_size.size) == ([1, 1, 2], 8)

    def only_one(count: int) -> None:
        ran.append(count)
        if count > 1:
            raise torch.OutOfMemoryError

    assert batch_size.measure(only_one) == 1


def test_a_smaller_batch_after_memory_ran_out() -> None:
    batch_size = BatchSize("auto", CPU)
    error = torch.OutOfMemoryError("full")
    assert batch_size.shrink(8, error) == 4
    assert batch_size.size == 4
    assert batch_size.shrink(3, error) == 1
    with pytest.raises(VadprobeError, match="enough memory for one clip; free memory on it, use a smaller"):
        batch_size.shrink(1, error)
    with pytest.raises(VadprobeError, match=r"enough memory for 8 clips at once; extraction\.batch_clips fixes"):
        BatchSize(8, CPU).shrink(8, error)


@pytest.fixture
def small_device(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Passes of more clips than fit run out of memory, for some prompt in the middle."""
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)

    def allow(most: int) -> list[int]:
        ran: list[int] = []

        def limited(model: Any, parts: Any, inputs: dict[str, Any], *rest: Any) -> Any:
            count = len(inputs["input_ids"])
            ran.append(count)
            if count > most and len(ran) % 2 == 0:
                raise torch.OutOfMemoryError("full")
            return capture_positions(model, parts, inputs, *rest)

        monkeypatch.setattr(shared_prefix, "capture_positions", limited)
        return ran

    return allow


def test_a_batch_that_does_not_fit_is_run_in_halves_and_the_record_says_so(
    tmp_path: Path,
    video_folder: Path,
    describe_tiny: Callable[..., Description],
    small_device: Callable[[int], Sequence[int]],
) -> None:
    description = describe_tiny("internvl")
    plain = make_extractor(video_folder, tmp_path / "plain", description)
    run_all(plain)
    ran = small_device(3)
    done: list[bool] = []
    extractor = make_extractor(video_folder, tmp_path / "auto", description, batch_clips="auto")
    assert run_one(extractor, (0, 0), done.append) == {}
    assert extractor.commit() == [{}]
    assert done == [True] * 9
    assert max(ran) == 8
    for prompt in range(2):
        mine, theirs = store_of(extractor, prompt), store_of(plain, prompt)
        assert mine.spec.recipe["batch_clips"] == "auto"
        sizes = mine.records[0]["batch_clips"]
        assert sizes
        assert max(sizes) <= 4
        assert "batch_clips" not in theirs.records[0]
        for name in ARRAYS:
            np.testing.assert_allclose(features_of(mine)[name], features_of(theirs)[name], rtol=0, atol=ROUNDING)
        assert verify(mine.path).problems == ()
        assert FeatureStore.open(mine.path).records[0]["batch_clips"] == sizes


def test_a_fixed_batch_that_does_not_fit_is_refused_and_nothing_is_written(
    tmp_path: Path,
    video_folder: Path,
    describe_tiny: Callable[..., Description],
    small_device: Callable[[int], Sequence[int]],
) -> None:
    small_device(3)
    extractor = make_extractor(video_folder, tmp_path / "root", describe_tiny("internvl"), batch_clips=4)
    with pytest.raises(VadprobeError, match="enough memory for 4 clips at once"):
        run_all(extractor)
    assert extractor.pending() == [(0, 0)]
