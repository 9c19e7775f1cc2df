"""Video-clustered bootstrap, against a slow loop that repeats drawn videos, expands frames and asks scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from tests.support.oracles.reference_evaluation import expand, metrics_on_frames, pair_auc
from tests.support.profiles import LONG, laws
from vadprobe.analyze.evaluation.bootstrap import bootstrap, precision_areas, video_pairs
from vadprobe.analyze.evaluation.bootstrap.bootstrap import METRICS, Bootstrap, bootstrap_videos
from vadprobe.analyze.evaluation.bootstrap.video_pairs import VideoPairs
from vadprobe.analyze.evaluation.bootstrap.video_units import sort_units
from vadprobe.analyze.evaluation.metrics import average_precision, precision_recall_area, rank, roc_auc
from vadprobe.analyze.evaluation.scored_clips import ScoredClips
from vadprobe.store.errors import VadprobeError

MODERATE = laws(40)
N_RESAMPLES = 7
FEW_SCORES = st.integers(-2, 2).map(float)
ANY_SCORES = st.floats(-1e6, 1e6) | st.sampled_from((-math.inf, math.inf))


@st.composite
def samples(draw, scores=FEW_SCORES):
    """Units of up to 6 videos: many ties, units and videos without frames, gaps in the codes, any order."""
    row = st.tuples(scores, st.integers(0, 3), st.integers(0, 3), st.sampled_from((-3, 0, 1, 7, 8, 40)))
    rows = draw(st.lists(row, min_size=1, max_size=25))
    values, positives, negatives, groups = zip(*[*rows, (draw(scores), 1, 2, 0)], strict=True)
    return np.array(values), np.array(positives), np.array(negatives), np.array(groups)


def resampled(sample, n_resamples=N_RESAMPLES, seed=0, **options):
    generator = np.random.default_rng(seed)
    return bootstrap_videos(ScoredClips(*sample), n_resamples=n_resamples, generator=generator, **options)


def repeated_units(sample, n_resamples=N_RESAMPLES, seed=0):
    """Resamples one by one: the units of every drawn video, as often as it was drawn."""
    scores, positives, negatives, groups = sample
    generator = np.random.default_rng(seed)
    codes = sorted(set(groups.tolist()))
    for _ in range(n_resamples):
        drawn = [codes[i] for i in generator.integers(len(codes), size=len(codes))]
        rows = np.concatenate([np.flatnonzero(groups == code) for code in drawn])
        yield drawn, (scores[rows], positives[rows], negatives[rows], groups[rows])


def auc_on_frames(scores, positives, negatives):
    return pair_auc(*expand(scores, positives, negatives))


def metrics_one_by_one(sample, abnormal_videos, **options):
    """(n_resamples, 5): scikit-learn on the expanded frames of each resample, NaN where they are of one class."""
    result = []
    for drawn, (scores, positives, negatives, groups) in repeated_units(sample, **options):
        pooled = metrics_on_frames(*expand(scores, positives, negatives))
        mine = np.isin(groups, abnormal_videos)
        abnormal = auc_on_frames(scores[mine], positives[mine], negatives[mine])
        single = [auc_on_frames(*(part[sample[3] == code] for part in sample[:3])) for code in drawn]
        known = [value for value in single if not math.isnan(value)]
        result.append((*pooled, abnormal, np.mean(known) if known else math.nan))
    return np.array(result)


def assert_same_bits(one, other):
    for metric in METRICS:
        np.testing.assert_array_equal(one.values[metric], other.values[metric], err_msg=metric)


@MODERATE
@given(samples(), st.integers(0, 1000))
def test_equal_to_scikit_learn_on_the_frames_of_each_resample(sample, seed):
    found = resampled(sample, seed=seed)
    positive_videos = np.unique(sample[3][sample[1] > 0])
    wanted = metrics_one_by_one(sample, positive_videos, seed=seed)
    assert tuple(found.values) == METRICS
    for metric, column in zip(METRICS, wanted.T, strict=True):
        np.testing.assert_allclose(found.values[metric], column, rtol=0, atol=1e-12, err_msg=metric)
        assert found.undefined(metric) == np.isnan(column).sum()


@MODERATE
@given(samples(ANY_SCORES), st.integers(0, 1000))
def test_equal_to_the_metrics_of_repeated_units_and_the_auc_to_the_last_bit(sample, seed):
    found = resampled(sample, seed=seed)
    for at, (_, units) in enumerate(repeated_units(sample, seed=seed)):
        if not (units[1] + units[2]).any():
            assert all(math.isnan(found.values[metric][at]) for metric in METRICS)
            continue
        ranking = rank(*units[:3])
        np.testing.assert_array_equal(found.values["auc"][at], roc_auc(ranking))
        for metric, function in (("ap_step", average_precision), ("pr_area_trapezoid", precision_recall_area)):
            np.testing.assert_allclose(found.values[metric][at], function(ranking), rtol=0, atol=1e-12)


@MODERATE
@given(samples(), st.randoms(use_true_random=False))
def test_order_of_units_and_names_of_videos_change_no_bit(sample, random):
    order = list(range(len(sample[0])))
    random.shuffle(order)
    renamed = np.unique(sample[3], return_inverse=True)[1] * 10 + 5
    assert_same_bits(resampled([part[order] for part in (*sample[:3], renamed)]), resampled(sample))


@MODERATE
@given(samples())
def test_every_unit_twice_changes_nothing(sample):
    twice, once = resampled([np.repeat(part, 2) for part in sample]), resampled(sample)
    for metric in METRICS:
        np.testing.assert_allclose(twice.values[metric], once.values[metric], rtol=0, atol=1e-14)


@MODERATE
@given(samples(), st.integers(1, 5))
def test_copies_of_one_video_have_its_metrics_in_every_resample(sample, copies):
    """Whatever is drawn, the frames are those of the video, as often as there are videos."""
    scores, positives, negatives, _ = sample
    many = [np.tile(part, copies) for part in (scores, positives, negatives)]
    found = resampled([*many, np.repeat(np.arange(copies), len(scores))])
    ranking = rank(scores, positives, negatives)
    wanted = (roc_auc(ranking), average_precision(ranking), precision_recall_area(ranking), *[roc_auc(ranking)] * 2)
    for metric, value in zip(METRICS, wanted, strict=True):
        np.testing.assert_allclose(found.values[metric], value, rtol=0, atol=1e-14, err_msg=metric)


def make_units(n_units, n_videos, seed=0):
    """Units of a few frames, half of the videos with positive ones; ties and a level without positives."""
    generator = np.random.default_rng(seed)
    groups = generator.integers(n_videos, size=n_units)
    positives = generator.integers(0, 4, n_units) * (groups % 2) * (generator.random(n_units) < 0.4)
    scores = np.round(generator.normal(size=n_units) + 0.5 * (positives > 0), 2)
    return scores, positives, generator.integers(0, 5, n_units), groups


@pytest.mark.parametrize(
    ("limit", "value"), [*(("_MAX_RESAMPLES", k) for k in (1, 2, 3, 10, 49, 2**40)), ("_MAX_DRAWN", 23 * 4)]
)
def test_how_many_resamples_go_together_changes_no_bit(monkeypatch, limit, value):
    sample = make_units(400, 23)
    wanted = resampled(sample, n_resamples=50)
    monkeypatch.setattr(bootstrap, limit, value)
    assert_same_bits(resampled(sample, n_resamples=50), wanted)


def test_the_first_resamples_do_not_depend_on_how_many_follow():
    sample = make_units(200, 9)
    few, many = resampled(sample, n_resamples=5), resampled(sample, n_resamples=1500)
    for metric in METRICS:
        np.testing.assert_array_equal(few.values[metric], many.values[metric][:5], err_msg=metric)


@MODERATE
@given(samples(), st.sets(st.sampled_from(METRICS), min_size=1), st.randoms(use_true_random=False))
def test_only_the_metrics_asked_for_and_each_as_among_all(sample, names, random):
    asked = list(names)
    random.shuffle(asked)
    found, every = resampled(sample, metrics=asked), resampled(sample)
    assert tuple(found.values) == tuple(metric for metric in METRICS if metric in names)
    for metric in names:
        np.testing.assert_array_equal(found.values[metric], every.values[metric], err_msg=metric)


@MODERATE
@given(samples(), st.integers(0, 1000))
def test_pairs_counted_once_or_in_each_resample_are_the_same(sample, seed):
    wanted = resampled(sample, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video_pairs, "_MAX_CELLS", 0)
        assert_same_bits(resampled(sample, seed=seed), wanted)


@MODERATE
@given(samples(), st.integers(0, 1000))
def test_sums_beyond_the_exact_floats_are_integers_and_the_same(sample, seed):
    wanted = resampled(sample, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video_pairs, "_MAX_EXACT", 0.0)
        patch.setattr(precision_areas, "_MAX_SINGLE", 0)
        assert_same_bits(resampled(sample, seed=seed), wanted)


@MODERATE
@given(samples())
def test_pairs_between_two_videos_are_those_of_their_frames(sample):
    scores, positives, negatives, groups = sample
    codes = np.unique(groups)
    found = VideoPairs(sort_units(ScoredClips(*sample), None))
    for i, one in enumerate(codes):
        for j, other in enumerate(codes):
            mine, theirs = groups == one, groups == other
            above = np.repeat(scores[mine], positives[mine])[:, None]
            below = np.repeat(scores[theirs], negatives[theirs])
            drawn = np.zeros((len(codes), 2))
            drawn[[i, j]] = 1
            doubled = 2 * np.sum(above > below) + np.sum(above == below)
            if i != j:
                own = np.repeat(scores[theirs], positives[theirs])[:, None]
                doubled += 2 * np.sum(own > below) + np.sum(own == below)
            assert found.doubled(drawn, np.arange(len(codes)) == j).tolist() == [doubled] * 2


def test_many_levels_cross_every_block_and_agree_with_the_metrics():
    """3,000 levels with positive frames, some tied with negative ones: many blocks, and running sums carried on."""
    generator = np.random.default_rng(8)
    n = 12000
    groups = generator.integers(30, size=n)
    positives = generator.integers(0, 30, n) * (generator.random(n) < 0.3)
    negatives = generator.integers(0, 30, n)
    scores = generator.integers(0, 9000, n) / 9000.0
    sample = scores, positives, negatives, groups
    found = resampled(sample, n_resamples=4)
    for at, (_, units) in enumerate(repeated_units(sample, n_resamples=4)):
        ranking = rank(*units[:3])
        assert found.values["auc"][at] == roc_auc(ranking)
        for metric, function in (("ap_step", average_precision), ("pr_area_trapezoid", precision_recall_area)):
            # Two orders of adding positive terms: blocks of 64 levels one after another, and pairs of halves.
            np.testing.assert_allclose(found.values[metric][at], function(ranking), rtol=1e-13, atol=0)


def test_the_largest_counts_stay_exact():
    """10**9 frames on two levels: their doubled pairs, 5 * 10**17, exceed the 53 bits of float64; one pair counts."""
    million = 10**6
    scores = np.array([1.0, 1.0, 0.0, 0.0])
    positives = np.array([500 * million + 1, 0, 0, 1])
    negatives = np.array([0, 1, 500 * million + 3, 0])
    found = resampled([scores, positives, negatives, np.zeros(4, dtype=int)], n_resamples=1)
    assert found.values["auc"][0] == roc_auc(rank(scores, positives, negatives))
    won = 2 * (500 * million + 1) * (500 * million + 3) + (500 * million + 1) + (500 * million + 3)
    assert found.values["auc"][0] == won / (2 * (500 * million + 2) * (500 * million + 4))


def test_a_resample_too_large_to_be_exact_is_refused():
    sample = [np.array([0.0, 1.0]), np.array([2**31, 1]), np.array([2**31 - 3, 1]), np.array([0, 1])]
    with pytest.raises(VadprobeError, match="must have fewer than 4294967296 frames, got 8589934586"):
        resampled(sample, n_resamples=100)


@pytest.mark.parametrize(("positives", "negatives"), [([2, 3], [0, 0]), ([0, 0], [2, 3])])
def test_one_class_is_undefined_in_every_resample(positives, negatives):
    found = resampled([np.array([0.1, 0.9]), np.array(positives), np.array(negatives), np.array([4, 5])])
    for metric in METRICS:
        assert found.undefined(metric) == found.n_resamples == N_RESAMPLES
        assert np.isnan(found.interval(metric)).all()


def test_one_video_has_one_value():
    sample = [np.array([0.2, 0.1, 0.3]), np.array([1, 1, 0]), np.array([1, 2, 1]), np.array([9, 9, 9])]
    found = resampled(sample)
    wanted = roc_auc(rank(*sample[:3]))
    for metric in ("auc", "auc_abnormal_only", "auc_macro"):
        assert found.interval(metric) == (wanted, wanted)
        assert found.undefined(metric) == 0


def test_resamples_without_positives_are_counted_and_left_out_of_the_interval():
    """Of two videos only one has positives: a quarter of the resamples draws it never."""
    sample = [np.array([0.9, 0.1, 0.5]), np.array([1, 0, 0]), np.array([0, 1, 1]), np.array([0, 0, 1])]
    found = resampled(sample, n_resamples=2000)
    assert found.undefined("auc") == np.isnan(found.values["auc"]).sum()
    assert 0.2 < found.undefined("auc") / 2000 < 0.3
    assert found.interval("auc") == (1.0, 1.0)


def test_labels_say_which_videos_are_abnormal():
    """An abnormal video none of whose clips has a positive frame: its negatives count only if the labels say so."""
    scores, groups = np.array([0.5, 0.2, 0.8, 0.1]), np.array([0, 0, 1, 2])
    sample = scores, np.array([1, 0, 0, 0]), np.array([0, 1, 1, 1]), groups
    for labels, abnormal in ((None, [0]), (np.array([1, 1, 1, 0]), [0, 1]), (groups < 2, [0, 1])):
        found = resampled(sample, n_resamples=50, labels=labels)
        wanted = metrics_one_by_one(sample, abnormal, n_resamples=50)
        # scikit-learn adds areas below at most four steps, each of them rounded.
        np.testing.assert_allclose(found.values["auc_abnormal_only"], wanted[:, 3], rtol=0, atol=1e-14)


def test_intervals_are_percentiles_of_the_defined_values():
    values = {"auc": np.array([0.0, math.nan, 0.5, 1.0])}
    found = Bootstrap(values, 4)
    assert found.interval("auc", 0.5) == (0.25, 0.75)
    assert found.undefined("auc") == 1
    with pytest.raises(AttributeError):
        found.n_resamples = 3


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"scores": [0.1, math.nan]}, "1 of 2 scores are NaN"),
        ({"positives": [0, 0], "negatives": [0, 0]}, "got 0 in 2"),
    ],
)
def test_refusals(changed, words):
    clips = {"scores": [0.1, 0.2], "positives": [1, 0], "negatives": [1, 1], "groups": [0, 1]}
    with pytest.raises(VadprobeError, match=words):
        bootstrap_videos(ScoredClips(**clips | changed), n_resamples=3, generator=np.random.default_rng(0))


def test_a_90_percent_interval_covers_the_true_auc_though_clips_of_a_video_are_alike():
    """Scores are truth + effect of the video + noise; the true AUC is that of two normals of equal variance."""
    generator = np.random.default_rng(5)
    n_videos, n_clips, n_simulations = 40, 20, 200 if LONG else 80
    truth_apart, video_deviation = 1.0, 0.7
    true_auc = norm.cdf(truth_apart / math.sqrt(2 * (1 + video_deviation**2)))
    groups = np.repeat(np.arange(n_videos), n_clips)
    covered = np.zeros((n_simulations, 2), dtype=bool)
    for simulation in range(n_simulations):
        positives = (groups % 2) * generator.integers(0, 2, len(groups))
        effect = generator.normal(size=n_videos)[groups] * video_deviation
        sample = truth_apart * positives + effect + generator.normal(size=len(groups)), positives, 1 - positives
        for column, clusters in enumerate((groups, np.arange(len(groups)))):
            options = {"n_resamples": 200, "generator": generator}
            low, high = bootstrap_videos(ScoredClips(*sample, clusters), **options).interval("auc", 0.9)
            covered[simulation, column] = low < true_auc < high
    by_videos, by_clips = covered.mean(axis=0)
    assert 0.8 < by_videos < 0.98
    assert by_clips < by_videos - 0.1  # drawing clips takes the clips of a video for independent
