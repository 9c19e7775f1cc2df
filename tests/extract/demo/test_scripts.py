"""Scripts of the generated sets: split by camera, balanced, without give-aways, in both versions of the world."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from vadprobe.extract.demo.scenes.direction import RATES
from vadprobe.extract.demo.scenes.shot import (
    KINDS,
    NAMED_KINDS,
    NAMED_LOOK_ALIKES,
    UNNAMED_KINDS,
    UNNAMED_LOOK_ALIKES,
)
from vadprobe.extract.demo.scripts import SECONDS, Script, write_scripts
from vadprobe.store.errors import VadprobeError

ALL_KINDS = {1: set(KINDS), 2: {*NAMED_KINDS, *UNNAMED_KINDS}}


def whole(seed: int, n_videos: int, version: int) -> list[Script]:
    return [script for script in write_scripts(seed, n_videos, version=version) if not script.truncated]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("version", "n_videos"), [(1, 48), (2, 80)])
def test_cameras_are_never_shared_between_splits_and_classes_are_balanced(
    seed: int, version: int, n_videos: int
) -> None:
    scripts = whole(seed, n_videos, version)
    assert len({script.video_id for script in scripts}) == n_videos
    for split, part in (("train", 2), ("validation", 4), ("test", 4)):
        mine = [script for script in scripts if script.split == split]
        assert len(mine) == n_videos // part
        assert sum(script.shot.kind is not None for script in mine) == len(mine) // 2
        counts = Counter(script.shot.kind for script in mine if script.shot.kind)
        assert set(counts) == ALL_KINDS[version]
        assert max(counts.values()) - min(counts.values()) <= 1
        assert not {s.seed[2] for s in mine} & {s.seed[2] for s in scripts if s.split != split}


@pytest.mark.parametrize("version", SECONDS)
def test_lengths_rates_and_intervals_are_as_promised(version: int) -> None:
    for script in whole(0, 80, version):
        shot = script.shot
        assert shot.fps in ((25, 30) if version == 1 else RATES)
        assert SECONDS[version][0] - 0.1 <= shot.n_frames / shot.fps <= SECONDS[version][1] + 0.1
        assert len(shot.intervals) <= 3
        assert bool(shot.intervals) == (shot.kind is not None)
        assert all(0 <= start < stop <= shot.n_frames for start, stop in shot.intervals)
        for spans in (shot.intervals, [(one.start, one.stop) for one in shot.harmless]):
            assert all(stop <= start for (_, stop), (start, _) in pairwise(spans))
    lengths = [script.shot.n_frames for script in whole(0, 80, version)]
    assert any(length % 24 for length in lengths)
    assert any(length % 48 for length in lengths)


@pytest.mark.parametrize("version", SECONDS)
def test_a_pair_of_both_classes_has_one_length_so_that_length_tells_nothing(version: int) -> None:
    scripts = whole(3, 48, version)
    for normal, anomalous in zip(scripts[::2], scripts[1::2], strict=True):
        assert (normal.shot.kind is None, anomalous.shot.kind is None) == (True, False)
        assert (normal.shot.n_frames, normal.shot.fps) == (anomalous.shot.n_frames, anomalous.shot.fps)


def test_look_alikes_weather_and_faintness_come_with_both_classes() -> None:
    scripts = [script for seed in range(8) for script in whole(seed, 80, 2)]
    for name in ("harmless", "weather", "shake", "faintness", "occluders", "crowd"):
        by_class = [
            np.array([_number(getattr(s.shot, name)) for s in scripts if (s.shot.kind is None) == normal])
            for normal in (True, False)
        ]
        spread = np.sqrt(sum(values.var() / len(values) for values in by_class))
        assert abs(by_class[0].mean() - by_class[1].mean()) < 4 * spread, name
    shown = {one.kind for script in scripts for one in script.shot.harmless}
    assert shown == {*NAMED_LOOK_ALIKES, *UNNAMED_LOOK_ALIKES}


def _number(value: object) -> float:
    if isinstance(value, tuple):
        return len(value)
    return float(value != "clear") if isinstance(value, str) else float(value)  # type: ignore[arg-type]


def test_the_place_of_a_frame_in_its_video_tells_little() -> None:
    """A quarter of the anomalous frames lies in each quarter of the videos, nearly."""
    parts = np.zeros(4)
    for seed in range(20):
        for script in whole(seed, 80, 2):
            parts += [part.sum() for part in np.array_split(script.shot.truth, 4)]
    assert np.all(np.abs(parts / parts.sum() - 0.25) < 0.05), parts / parts.sum()


@pytest.mark.parametrize("version", SECONDS)
def test_another_seed_gives_another_set(version: int) -> None:
    assert write_scripts(0, 16, version=version) == write_scripts(0, 16, version=version)
    assert write_scripts(0, 16, version=version) != write_scripts(1, 16, version=version)


@pytest.mark.parametrize("count", [0, 8, 20])
def test_a_number_of_videos_that_leaves_a_split_incomplete_is_refused(count: int) -> None:
    with pytest.raises(VadprobeError, match=f"must be a positive multiple of 16 .*, got {count}"):
        write_scripts(0, count)


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(VadprobeError, match="version must be one of 1, 2, got 3"):
        write_scripts(0, 16, version=3)
