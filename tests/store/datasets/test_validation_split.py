"""Held-out videos: seeded, of both classes, whole sources, and never all of a class."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.validation_split import hold_out, source_of
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError


def dataset(*videos: Video) -> Dataset:
    return Dataset("d", Path(), videos)


def plain(n_normal: int = 20, n_anomalous: int = 10) -> Dataset:
    names = [(f"n{i}", 0) for i in range(n_normal)] + [(f"a{i}", 1) for i in range(n_anomalous)]
    train = Video("t", "", split="train", label=0)
    return dataset(train, Video("u", "", label=None), *(Video(name, "", label=label) for name, label in names))


def held(found: Dataset) -> list[str]:
    return sorted(video.video_id for video in found.of_split("validation"))


@laws(50)
@given(st.integers(0, 1000), st.sampled_from([0.1, 0.25, 0.5]), st.randoms(use_true_random=False))
def test_a_draw_is_stratified_and_depends_on_names_alone(seed: int, fraction: float, random: object) -> None:
    made = plain()
    chosen = held(hold_out(made, (), fraction, seed))
    assert sum(name.startswith("n") for name in chosen) == round(20 * fraction)
    assert sum(name.startswith("a") for name in chosen) == round(10 * fraction)
    shuffled = list(made.videos)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert held(hold_out(dataset(*shuffled), (), fraction, seed)) == chosen


def test_seeds_differ_and_other_splits_stay() -> None:
    made = plain()
    assert len({tuple(held(hold_out(made, (), 0.3, seed))) for seed in range(8)}) > 4
    found = hold_out(made, (), 0.3, 0)
    assert [video.video_id for video in found.of_split("train")] == ["t"]
    assert found.by_id["u"].split == "test", "a video without label is never drawn"


def test_clips_of_one_film_stay_together() -> None:
    names = [f"Film{film}__#00-0{clip}-00_label_{'B1' if clip else 'A'}" for film in range(8) for clip in range(3)]
    made = dataset(*(Video(name, "", label=int(name.endswith("B1"))) for name in names))
    chosen = {source_of(name) for name in held(hold_out(made, (), 0.25, 1))}
    left = {source_of(video.video_id) for video in hold_out(made, (), 0.25, 1).of_split("test")}
    assert chosen
    assert not chosen & left


def test_named_videos_and_what_is_refused() -> None:
    made = plain(2, 2)
    assert held(hold_out(made, ("n1", "a0"), None, 0)) == ["a0", "n1"]
    with pytest.raises(
        VadprobeError, match=r"names 'nobody' \(1 such names\), which is not a labelled test video of 'd'"
    ):
        hold_out(made, ("n1", "nobody"), None, 0)
    with pytest.raises(VadprobeError, match="takes all test videos of a class"):
        hold_out(made, ("n0", "n1"), None, 0)
    with pytest.raises(VadprobeError, match="test videos of label 1 have 1 sources"):
        hold_out(plain(5, 1), (), 0.5, 0)
