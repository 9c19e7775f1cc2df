"""Ground truth as intervals, against boolean frames that are marked one by one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.oracles.reference_evaluation import (
    NO_SHARED,
    SHARED,
    made_videos,
    real_dataset,
    real_truth,
    runs_of_frames,
    truth_of,
)
from tests.support.profiles import laws
from vadprobe.analyze.evaluation.ground_truth import ground_truth
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Interval, Video
from vadprobe.store.errors import VadprobeError

LAW = laws(200)
FIELDS = ("n_frames", "labels", "interval_codes", "interval_starts", "interval_stops")
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)


def dataset_of(lengths, spans):
    """Anomalous videos "a", "b", ... of these lengths; `spans` are (video, start, stop)."""
    videos = tuple(Video(chr(97 + i), "", n_frames=length, label=1) for i, length in enumerate(lengths))
    return Dataset("made", Path(), videos, tuple(Interval(chr(97 + code), *span) for code, *span in spans))


def truth_with(lengths, spans):
    dataset = dataset_of(lengths, spans)
    return ground_truth(dataset, dataset.videos)


def intervals_of(truth):
    return list(
        zip(truth.interval_codes.tolist(), truth.interval_starts.tolist(), truth.interval_stops.tolist(), strict=True)
    )


def assert_same(one, other):
    assert one.video_ids == other.video_ids
    assert one.categories == other.categories
    assert one.dataset == other.dataset
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)
        assert getattr(one, field).dtype == getattr(other, field).dtype == np.int64
    assert one.digest == other.digest


@LAW
@given(made_videos())
def test_every_field_is_that_of_the_marked_frames(videos):
    truth = truth_of(videos)
    by_name = sorted(videos, key=lambda video: video.name)
    assert truth.dataset == "made"
    assert truth.video_ids == tuple(video.name for video in by_name)
    assert truth.categories == tuple(video.category for video in by_name)
    assert truth.labels.tolist() == [video.label for video in by_name]
    assert truth.n_frames.tolist() == [video.n_frames for video in by_name]
    assert truth.n_positive.tolist() == [sum(video.flags) for video in by_name]
    assert truth.offsets.tolist() == [sum(v.n_frames for v in by_name[:code]) for code in range(len(by_name))]
    runs = [(code, *run) for code, video in enumerate(by_name) for run in runs_of_frames(video.flags)]
    assert intervals_of(truth) == runs
    assert {getattr(truth, field).dtype for field in (*FIELDS, "n_positive", "offsets")} == {np.dtype(np.int64)}


@LAW
@given(made_videos(), st.data())
def test_counts_are_those_of_slices_of_the_marked_frames(videos, data):
    truth = truth_of(videos)
    by_name = sorted(videos, key=lambda video: video.name)
    segments = []
    for _ in range(data.draw(st.integers(1, 12))):  # in any order; some overlap, some are empty
        code = data.draw(st.integers(0, len(by_name) - 1))
        start, stop = sorted(data.draw(st.tuples(*[st.integers(0, by_name[code].n_frames)] * 2)))
        segments.append((code, start, stop))
    positives, negatives = truth.counts(*np.array(segments).T)
    slices = [by_name[code].flags[start:stop] for code, start, stop in segments]
    assert positives.tolist() == [sum(flags) for flags in slices]
    assert negatives.tolist() == [len(flags) - sum(flags) for flags in slices]
    assert positives.dtype == negatives.dtype == np.int64


@LAW
@given(made_videos(), st.randoms(use_true_random=False))
def test_order_and_cuts_of_intervals_change_nothing(videos, random):
    changed = []
    for video in random.sample(videos, len(videos)):
        pieces = []
        for start, stop in random.sample(video.intervals, len(video.intervals)):
            middle = random.randint(start, stop)
            begin = random.randint(start, middle)  # the second piece touches or overlaps the first
            pieces += [piece for piece in ((start, middle), (begin, stop)) if piece[0] < piece[1]]
        changed.append(replace(video, intervals=tuple(pieces)))
    assert_same(truth_of(changed), truth_of(videos))


@LAW
@given(made_videos(), st.data())
def test_one_frame_one_label_or_one_name_changes_the_digest(videos, data):
    position = data.draw(st.integers(0, len(videos) - 1))
    video, digest = videos[position], truth_of(videos).digest

    def digest_with(changed):
        return truth_of([*videos[:position], changed, *videos[position + 1 :]]).digest

    frame = data.draw(st.integers(0, video.n_frames - 1))
    runs = [tuple(run) for run in runs_of_frames([flag != (i == frame) for i, flag in enumerate(video.flags)])]
    start, stop, score = video.segments[-1]
    longer = (*video.segments[:-1], (start, stop + 1, score))
    if video.label == 1:
        assert digest_with(replace(video, intervals=tuple(runs))) != digest
    assert digest_with(replace(video, label=1 - video.label, intervals=())) != digest
    assert digest_with(replace(video, name=f"{video.name}x")) != digest
    assert digest_with(replace(video, segments=longer)) != digest
    assert truth_of(videos[:position] + videos[position + 1 :]).digest != digest if len(videos) > 1 else True


@LAW
@given(made_videos(), st.data())
def test_without_some_videos_is_the_truth_of_the_others(videos, data):
    left_out = data.draw(st.sets(st.sampled_from([video.name for video in videos]), max_size=len(videos) - 1))
    others = [video for video in videos if video.name not in left_out]
    truth = truth_of(videos)
    assert_same(truth.without(sorted(left_out)), truth_of(others))
    assert_same(truth.without([*left_out, "never heard of"]), truth_of(others))
    assert truth.without(sorted(left_out)).n_positive.sum() == sum(sum(video.flags) for video in others)


@pytest.mark.parametrize(
    ("spans", "merged"),
    [
        ([(0, 2, 4), (0, 4, 6)], [(0, 2, 6)]),  # touching
        ([(0, 2, 4), (0, 5, 6)], [(0, 2, 4), (0, 5, 6)]),  # one frame between
        ([(0, 1, 9), (0, 2, 3), (0, 8, 10)], [(0, 1, 10)]),  # one inside another, and then an overlap
        ([(0, 5, 50)], [(0, 5, 10)]),  # past the end
        ([(0, 10, 11)], []),  # after the end
        ([(0, 0, 10), (1, 0, 10)], [(0, 0, 10), (1, 0, 5)]),  # two videos touch on the axis and stay two
        ([(1, 0, 2), (0, 8, 10)], [(0, 8, 10), (1, 0, 2)]),
    ],
)
def test_merging_and_cutting(spans, merged):
    truth = truth_with([10, 5], spans)
    assert intervals_of(truth) == merged
    assert intervals_of(truth_with([10, 5], spans[::-1])) == merged


def test_segments_at_the_borders_of_intervals_and_videos():
    truth = truth_with([10, 5], [(0, 8, 10), (1, 0, 2)])
    codes, starts, stops = np.array([(0, 0, 8), (0, 8, 10), (0, 10, 10), (1, 0, 0), (1, 0, 2), (1, 2, 5)]).T
    positives, negatives = truth.counts(codes, starts, stops)
    assert positives.tolist() == [0, 2, 0, 0, 2, 0]
    assert negatives.tolist() == [8, 0, 0, 0, 0, 3]


def test_no_segment_has_no_counts():
    nothing = np.array([], dtype=np.int64)
    for spans in ([], [(0, 1, 2)]):
        positives, negatives = truth_with([3], spans).counts(nothing, nothing, nothing)
        assert len(positives) == len(negatives) == 0


def test_counts_stay_exact_on_long_axes():
    length = 2**40
    truth = truth_with([length] * 3, [(0, 0, length), (2, length - 2, length)])
    positives, negatives = truth.counts(
        np.array([0, 1, 2]), np.array([1, 0, 0]), np.array([length, length, length - 1])
    )
    assert positives.tolist() == [length - 1, 0, 1]
    assert negatives.tolist() == [0, length, length - 2]


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 6), (6, 7)])
def test_a_segment_outside_of_its_video_is_refused(start, stop):
    truth = truth_with([10, 5], [])
    with pytest.raises(VadprobeError, match=rf"'b' is \[{start}, {stop}\), but the video has 5 frames"):
        truth.counts(np.array([0, 1]), np.array([0, start]), np.array([10, stop]))


def test_only_the_videos_asked_for_are_in_the_truth():
    dataset = dataset_of([10, 5, 7], [(0, 1, 3), (1, 2, 4), (2, 0, 7)])
    truth = ground_truth(dataset, (dataset.by_id["c"], dataset.by_id["a"]))
    assert truth.video_ids == ("a", "c")
    assert intervals_of(truth) == [(0, 1, 3), (1, 0, 7)]


def test_a_category_is_no_part_of_the_digest():
    videos = [Video("a", "", n_frames=5, label=1, category=category) for category in ("Fighting", None)]
    digests = {ground_truth(Dataset("made", Path(), (video,)), (video,)).digest for video in videos}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("gap", "fault"), [({"n_frames": 5, "label": None}, "no label"), ({"n_frames": None, "label": 0}, "no frame count")]
)
def test_unknown_labels_and_frame_counts_are_refused_by_name(gap, fault):
    videos = (Video("whole", "", n_frames=4, label=0), Video("one", "", **gap), Video("two", "", **gap))
    with pytest.raises(VadprobeError, match=f"2 of 3 videos have {fault} .*one.*two"):
        ground_truth(Dataset("made", Path(), videos), videos)


def test_anomalous_frames_of_a_normal_video_are_refused_by_name():
    videos = (Video("fine", "", n_frames=4, label=1), Video("odd", "", n_frames=4, label=0))
    intervals = (Interval("fine", 0, 2), Interval("odd", 1, 2))
    with pytest.raises(VadprobeError, match=r"1 of 2 videos .*normal.*odd"):
        ground_truth(Dataset("made", Path(), videos, intervals), videos)


def test_no_video_is_refused():
    with pytest.raises(VadprobeError, match="no video of 'made'"):
        ground_truth(Dataset("made", Path(), ()), ())


@needs_shared
@pytest.mark.parametrize(
    ("name", "frames", "positive"), [("ucf-crime", 1111808, 84182), ("xd-violence", 2335801, 538324)]
)
def test_the_real_test_sets_have_the_known_numbers_of_frames(name, frames, positive):
    truth = real_truth(name)
    assert (truth.n_frames.sum(), truth.n_positive.sum()) == (frames, positive)
    dataset = real_dataset(name)
    marked = {v.video_id: dataset.truth(v.video_id, v.n_frames).sum() for v in dataset.of_split("test")}
    assert dict(zip(truth.video_ids, truth.n_positive.tolist(), strict=True)) == marked
