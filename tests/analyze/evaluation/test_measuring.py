"""Every number of an evaluation, against single frames, pairs of frames and scikit-learn."""

import json
import math
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.oracles.reference_evaluation import (
    NO_SHARED,
    SHARED,
    SOME_UNKNOWN,
    MadeVideo,
    at_threshold_by_frames,
    classes_by_frames,
    five_metrics,
    highest_score,
    made_videos,
    mean_of_known,
    pair_auc,
    pooled,
    real_truth,
    resampled_metrics,
    scores_of,
    truth_of,
    video_auc_by_pairs,
)
from tests.support.profiles import laws
from tests.support.samples.evaluations import AT_THRESHOLD, NO_INTERVALS, assert_same, evaluate, one_piece
from vadprobe.analyze.evaluation.baselines import trivial_baselines
from vadprobe.analyze.evaluation.evaluation import INTERVAL_METRICS, BootstrapConfig, Evaluation
from vadprobe.analyze.evaluation.group_metrics import class_results
from vadprobe.analyze.evaluation.measuring import evaluate_scores, known_clips, video_table
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.store.errors import VadprobeError

LAW = laws(80)
FEWER = laws(60)
IOUS = ("0.1", "0.2", "0.3", "0.4", "0.5")
THRESHOLDS = st.sampled_from((-1.0, -0.75, -0.5, 0.0, 0.5, 0.6, 1.0))
UNKNOWN = made_videos(SOME_UNKNOWN)
CONVENTIONS = {
    "zero-based-half-open": (0.89320, 0.7125, 0.71353),
    "zero-based-closed": (0.89323, 0.7130, 0.71409),
    "one-based-closed": (0.89341, 0.7142, 0.71527),
}
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)


def assert_numbers(found, wanted):
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=0, atol=1e-12, err_msg=name)


def cut_again(videos, random):
    """The same scores of the same frames in other segments."""
    result = []
    for video in videos:
        segments = []
        for start, stop, score in video.segments:
            middle = random.randint(start + 1, stop)
            segments += [(start, middle, score)] + ([(middle, stop, score)] if middle < stop else [])
        result.append(replace(video, segments=tuple(segments)))
    return result


@LAW
@given(UNKNOWN)
def test_the_numbers_without_a_threshold(videos):
    found = evaluate(videos, math.nan)
    single = [pair_auc(*pooled([video])) for video in videos]
    truth, _ = pooled(videos)
    assert_numbers(found, five_metrics(videos))
    assert_numbers(found, {"video_auc": video_auc_by_pairs(videos)})
    assert found.n_videos == len(videos)
    assert found.n_videos_positive == sum(video.label for video in videos)
    assert found.n_videos_macro == sum(not math.isnan(value) for value in single)
    assert found.n_frames == len(truth)
    assert found.n_positive == truth.sum()
    assert found.n_frames_unknown == sum(math.isnan(score) for video in videos for score in video.frame_scores)
    assert found.n_frames + found.n_frames_unknown == sum(video.n_frames for video in videos)
    assert np.isnan([found.threshold, *(getattr(found, name) for name in AT_THRESHOLD)]).all()


@LAW
@given(UNKNOWN)
def test_the_classes(videos):
    found = evaluate(videos).classes
    wanted = classes_by_frames(videos)
    assert list(found) == sorted(wanted)
    for name, numbers in wanted.items():
        assert_numbers(found[name], numbers)


@LAW
@given(UNKNOWN, THRESHOLDS)
def test_the_numbers_at_a_threshold(videos, threshold):
    found = evaluate(videos, threshold)
    if len(pooled(videos)[0]) == 0:
        assert np.isnan([getattr(found, name) for name in AT_THRESHOLD]).all()
        return
    wanted = at_threshold_by_frames(videos, threshold, IOUS)
    assert found.threshold == threshold
    assert tuple(found.event_map) == IOUS
    events = wanted.pop("event_map")
    np.testing.assert_allclose(list(found.event_map.values()), list(events.values()), rtol=0, atol=1e-12)
    assert_numbers(found, wanted)


@FEWER
@given(UNKNOWN, st.integers(0, 1000), st.sampled_from((0.5, 0.9, 0.95)))
def test_the_intervals(videos, seed, confidence):
    found = evaluate(videos, bootstrap=BootstrapConfig(7, seed, confidence))
    assert found.bootstrap == BootstrapConfig(7, seed, confidence)
    if len(pooled(videos)[0]) == 0:
        assert found.intervals == found.undefined == {}
        return
    assert tuple(found.intervals) == tuple(found.undefined) == INTERVAL_METRICS
    for name, values in resampled_metrics(videos, 7, seed).items():
        known = values[~np.isnan(values)]
        ends = [50 - 50 * confidence, 50 + 50 * confidence]
        wanted = np.percentile(known, ends) if len(known) else [math.nan] * 2
        np.testing.assert_allclose(found.intervals[name], wanted, rtol=0, atol=1e-12, err_msg=name)
        assert found.undefined[name] == np.isnan(values).sum()


@LAW
@given(UNKNOWN)
def test_baselines_and_digest_are_those_of_the_same_truth(videos):
    found = evaluate(videos)
    np.testing.assert_equal(found.baselines, trivial_baselines(truth_of(videos)))
    assert found.ground_truth_digest == truth_of(videos).digest


@LAW
@given(UNKNOWN, st.randoms(use_true_random=False))
def test_the_order_of_videos_changes_no_bit(videos, random):
    bootstrap = BootstrapConfig(3)
    shuffled = random.sample(videos, len(videos))
    assert_same(evaluate(shuffled, bootstrap=bootstrap), evaluate(videos, bootstrap=bootstrap))
    tables = [video_table(truth, scores_of(truth, videos), 0.5) for truth in (truth_of(shuffled), truth_of(videos))]
    assert tables[0].to_pylist() == tables[1].to_pylist()


@LAW
@given(UNKNOWN, st.randoms(use_true_random=False))
def test_how_equal_scores_are_cut_into_segments_changes_no_bit(videos, random):
    bootstrap = BootstrapConfig(3)
    assert_same(evaluate(cut_again(videos, random), bootstrap=bootstrap), evaluate(videos, bootstrap=bootstrap))


@FEWER
@given(made_videos(st.sampled_from((0.1, 0.2, 0.3, 0.7))), st.randoms(use_true_random=False))
def test_scores_that_are_no_binary_fractions_can_be_cut_too(videos, random):
    assert_same(evaluate(cut_again(videos, random), 0.15), evaluate(videos, 0.15))


def test_events_of_equal_confidence_stay_equal_however_their_scores_are_cut():
    """0.1 + 3 * 0.6 is not 0.1 + 0.6 + 0.6 + 0.6 in binary: one event in two would fall behind its equal."""
    pieces = ((4, 0.2), (3, 0.7), (4, 0.1))
    cut = [(1, score) for length, score in pieces for _ in range(length)]
    others = [one_piece("normal", 0, [], *pieces), one_piece("other", 0, [], (2, 0.0), *pieces)]
    whole = evaluate([one_piece("a", 1, [(2, 9)], *pieces), *others], 0.05)
    frames = evaluate([one_piece("a", 1, [(2, 9)], *cut), *others], 0.05)
    assert whole.event_map["0.5"] == 1 / 3
    assert frames.event_map == whole.event_map


@LAW
@given(UNKNOWN)
def test_unknown_frames_are_in_no_number_but_counted(videos):
    """The unknown frames are taken out of the videos; what is left moves together, which no ranking number sees."""
    rest = []
    for video in videos:
        kept = [i for i, score in enumerate(video.frame_scores) if not math.isnan(score)]
        if kept:
            intervals = tuple((new, new + 1) for new, old in enumerate(kept) if video.flags[old])
            segments = tuple((new, new + 1, video.frame_scores[old]) for new, old in enumerate(kept))
            rest.append(replace(video, intervals=intervals, segments=segments))
    if not rest:
        return
    all_of_them, known = evaluate(videos, 0.5, BootstrapConfig(3)), evaluate(rest, 0.5, BootstrapConfig(3))
    assert known.n_frames_unknown == 0
    moved = {"n_frames_unknown", "n_videos", "n_videos_positive", "classes", "baselines", "ground_truth_digest"}
    moved |= {name.name for name in fields(Evaluation) if "event" in name.name}
    for field in fields(Evaluation):
        if field.name not in moved:
            np.testing.assert_equal(getattr(all_of_them, field.name), getattr(known, field.name), err_msg=field.name)
    for name, result in known.classes.items():
        np.testing.assert_equal(asdict(replace(all_of_them.classes[name], n_videos=result.n_videos)), asdict(result))


@LAW
@given(UNKNOWN, st.sampled_from((math.nan, 0.25, 0.5)))
def test_the_table_of_videos(videos, threshold):
    truth = truth_of(videos)
    rows = video_table(truth, scores_of(truth, videos), threshold).to_pylist()
    for row, video in zip(rows, sorted(videos, key=lambda video: video.name), strict=True):
        known = [score for score in video.frame_scores if not math.isnan(score)]
        share = sum(score > threshold for score in known) / len(known) if known else math.nan
        wanted = {
            "video_id": video.name,
            "label": video.label,
            "category": video.category,
            "n_frames": video.n_frames,
            "n_positive": sum(video.flags),
            "n_frames_unknown": video.n_frames - len(known),
            "auc": pair_auc(*pooled([video])),
            "score_maximum": highest_score(video),
            "score_mean": mean_of_known(known),
            "share_above_threshold": math.nan if math.isnan(threshold) else share,
        }
        assert list(row) == list(wanted)
        for name, value in wanted.items():
            if isinstance(value, float):
                got = math.nan if row[name] is None else row[name]
                np.testing.assert_allclose(got, value, rtol=0, atol=1e-12, err_msg=name)
            else:
                assert row[name] == value, name


def test_by_hand():
    """One normal video with a false alarm, one anomalous video found in half of its event, threshold 0.5."""
    videos = [
        one_piece("anomalous", 1, [(4, 10)], (4, 0.25), (3, 0.75), (3, 0.5)),
        one_piece("normal", 0, [], (5, 0.0), (1, 1.0)),
    ]
    found = evaluate(videos, 0.5)
    assert found.auc == (3 * 9 + 3 * 9) / 60
    assert found.auc_abnormal_only == found.auc_macro == 1.0
    assert found.n_videos_macro == 1
    assert found.video_auc == 0.0
    assert found.f1 == 2 * 3 / (4 + 6)
    assert found.false_alarm_rate == 1 / 6
    assert found.auc_gated == (3 * 9 + 3 * 9 / 2) / 60
    assert found.auc_binary == (3 / 6 + 9 / 10) / 2
    assert found.ap_gated == pytest.approx(1 / 2 * 3 / 4 + 1 / 2 * 6 / 16)
    assert found.ap_binary == pytest.approx(1 / 2 * 3 / 4 + 1 / 2 * 6 / 16)
    assert (found.n_events_found, found.n_events_true) == (2, 1)
    assert found.event_map == dict.fromkeys(IOUS, 1 / 2)
    assert found.event_map_mean == 1 / 2
    assert (found.n_videos, found.n_videos_positive, found.n_frames, found.n_positive) == (2, 1, 16, 6)
    assert found.caveats == ()


def test_gated_scores_are_below_negative_ones_too():
    """At threshold -3 the scores -4 and -3 become one level, below -2: of 4 pairs two are won and two are ties."""
    found = evaluate([one_piece("a", 1, [(1, 3)], (1, -3.0), (1, -4.0), (1, -2.0), (1, -4.0))], -3.0)
    assert found.auc == (0 + 1 / 2 + 1 + 1) / 4
    assert found.auc_gated == found.auc_binary == (1 / 2 + 1 / 2 + 1 + 1) / 4
    assert evaluate([one_piece("a", 1, [(1, 3)], (1, -3.0), (1, -4.0), (1, -2.0))], -9.0).auc_gated == 1 / 2


def test_abnormal_videos_are_those_labelled_so_in_the_number_and_in_its_interval():
    """The second anomalous video's event is nowhere in it (it lies after its end): its frames still count."""
    videos = [one_piece("a", 1, [(0, 4)], (4, 0.5), (4, 0.25)), one_piece("b", 1, [(50, 60)], (8, 0.75))]
    found = evaluate(videos, bootstrap=BootstrapConfig(50))
    assert found.auc_abnormal_only == 4 * 4 / (4 * 12)
    assert found.intervals["auc_abnormal_only"] == found.intervals["auc"]
    assert found.intervals["auc_abnormal_only"][0] < 1


def test_infinite_scores_are_ranked_like_any_other():
    finite = [one_piece("a", 1, [(2, 6)], (3, -5.0), (3, 0.5), (2, 7.0)), one_piece("b", 0, [], (2, -5.0), (3, 1.0))]
    infinite = {-5.0: -math.inf, 7.0: math.inf}
    changed = [
        replace(video, segments=tuple((a, b, infinite.get(score, score)) for a, b, score in video.segments))
        for video in finite
    ]
    assert_same(evaluate(changed, 0.5, BootstrapConfig(3)), evaluate(finite, 0.5, BootstrapConfig(3)))


def test_empty_segments_change_nothing():
    videos = [one_piece("a", 1, [(2, 6)], (3, 0.25), (5, 0.75)), one_piece("b", 0, [], (4, 0.5))]
    with_empty = [replace(video, segments=((0, 0, 0.875), *video.segments)) for video in videos]
    for threshold in (math.nan, 0.5):
        assert_same(evaluate(with_empty, threshold), evaluate(videos, threshold))


def test_a_video_without_frames_is_in_no_number():
    videos = [one_piece("a", 1, [(2, 6)], (3, 0.25), (5, 0.75)), one_piece("b", 0, [], (4, 0.5))]
    truth = truth_of([*videos, MadeVideo("empty", 0, None, (), ())])
    found = evaluate_scores(truth, scores_of(truth, videos), 0.5, NO_INTERVALS)
    wanted = evaluate(videos)
    assert found.n_videos == 3
    same = {"n_videos": 2, "ground_truth_digest": wanted.ground_truth_digest, "baselines": wanted.baselines}
    assert_same(replace(found, **same), wanted)


@FEWER
@given(made_videos(), st.data())
def test_a_frame_without_a_segment_is_refused(videos, data):
    position = data.draw(st.integers(0, len(videos) - 1))
    video = videos[position]
    left_out = data.draw(st.sampled_from(video.segments))
    gap = replace(video, segments=tuple(segment for segment in video.segments if segment != left_out))
    truth = truth_of(videos)
    rows = [(v.name, *s) for v in [*videos[:position], gap, *videos[position + 1 :]] for s in v.segments]
    names, starts, stops, scores = zip(*rows, strict=True) if rows else ((), (), (), ())
    segments = SegmentScores.of_videos(truth, names, np.array(starts), np.array(stops), np.array(scores))
    known = video.n_frames - (left_out[1] - left_out[0])
    with pytest.raises(VadprobeError, match=f"1 videos .*'{video.name}': {known} of its {video.n_frames} frames"):
        evaluate_scores(truth, segments, 0.5, NO_INTERVALS)


def test_a_segment_outside_of_its_video_is_refused():
    truth = truth_of([one_piece("a", 1, [(0, 2)], (4, 0.5))])
    for starts, stops in (([0, 2], [2, 6]), ([0, 4], [2, 6]), ([0, 4], [4, 5])):
        columns = (np.array([0, 0]), np.array(starts), np.array(stops), np.array([0.5, 0.5]))
        with pytest.raises(VadprobeError, match="but the video has 4 frames"):
            evaluate_scores(truth, SegmentScores(*columns), 0.5, NO_INTERVALS)


@pytest.fixture(scope="module")
def vadtree():
    """Frame scores of a published system on MSAD, and its published metrics."""
    scores = json.loads((SHARED / "msad" / "vadtree_scores.json").read_text())["vid_score"]
    metrics = json.loads((SHARED / "msad" / "vadtree_metrics.json").read_text())["dataset_metric"]
    return {name.removesuffix(".mp4"): values for name, values in scores.items()}, metrics


def on_msad(scores, convention):
    truth = real_truth("msad", convention)
    names = [name for name, values in scores.items() for _ in values]
    starts = np.concatenate([np.arange(len(values)) for values in scores.values()])
    return truth, SegmentScores.of_videos(truth, names, starts, starts + 1, np.concatenate(list(scores.values())))


@needs_shared
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_published_systems_scores_under_every_reading_of_the_intervals(vadtree, convention):
    found = evaluate_scores(*on_msad(vadtree[0], convention), 0.5, NO_INTERVALS)
    assert (found.n_videos, found.n_frames, found.n_frames_unknown) == (240, 146408, 0)
    auc, ap_step, area = CONVENTIONS[convention]
    assert found.auc == pytest.approx(auc, abs=6e-6)
    assert found.ap_step == pytest.approx(ap_step, abs=6e-5)
    assert found.pr_area_trapezoid == pytest.approx(area, abs=6e-6)


@needs_shared
def test_a_published_systems_scores_give_its_published_numbers_of_all_classes(vadtree):
    """VADTree publishes ROC and trapezoid areas to four digits, of all frames, of each class and of abnormal videos."""
    scores, published = vadtree
    truth, segments = on_msad(scores, "zero-based-closed")
    found = evaluate_scores(truth, segments, 0.5, NO_INTERVALS)
    as_one = class_results(known_clips(truth, segments)[0], truth.labels, ["Abnormal"] * len(truth.labels))
    results = {"all": found, **as_one, **found.classes}
    areas = {name: (round(r.auc, 4), round(r.pr_area_trapezoid, 4)) for name, r in results.items()}
    assert len(found.classes) == 11
    assert areas == {
        name.split()[0]: (numbers["roc_auc"], numbers["pr_auc"])  # "Traffic Accident" is "Traffic" in the annotation
        for name, numbers in published.items()
        if name != "Normal"
    }
    assert found.auc_abnormal_only == as_one["Abnormal"].auc
    assert areas["all"] == (0.8932, 0.7141)
