"""Sentences about a comparison, which follow from the numbers, their draws and their paired differences."""

import math

import numpy as np
import pytest

from vadprobe.analyze.evaluation.evaluation import BootstrapConfig, Evaluation
from vadprobe.analyze.evaluation.ground_truth import ground_truth
from vadprobe.analyze.evaluation.measuring import evaluate_scores, known_clips
from vadprobe.analyze.evaluation.segment_scores import SegmentScores
from vadprobe.analyze.experiments.methods.entry import Difference, Entry
from vadprobe.analyze.experiments.methods.measured import ALL, Measured
from vadprobe.analyze.experiments.methods.verdicts import verdicts
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Interval, Video


class Fixed(Measured):
    """A measurement with an AUC of one's own."""

    def __init__(self, auc: float) -> None:
        super().__init__({ALL: None})
        object.__setattr__(self, "fixed", auc)

    @property
    def auc(self) -> float:
        return float(vars(self)["fixed"])


class Known(Entry):
    """An entry whose differences have an interval of 0.05 to both sides."""

    def difference(self, other: Entry) -> Difference:
        value = self.auc - other.auc
        return Difference(value, value - 0.05, value + 0.05, 0.95)


def entry(key: str, *aucs: float, choice: str = "") -> Entry:
    return Known(key, key, tuple(Fixed(auc) for auc in aucs), choice=choice, others={"1": 0.5})


ONE_OF_TWENTY = (*(0.5 for _ in range(19)), 0.95)
TWO_OF_TWENTY = (*ONE_OF_TWENTY[1:], 0.9)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (
            [entry("rhi", 0.9), entry("random-heads", *ONE_OF_TWENTY)],
            ["is above the median of 20 random draws (0.5000); 1 of them is as good or better."],
        ),
        (
            [entry("rhi", 0.9), entry("random-heads", *TWO_OF_TWENTY)],
            [
                "is above the median",
                "and 2 of them are as good or better: here RHI is not better than chance among random",
            ],
        ),
        ([entry("rhi", 0.8), entry("random-heads", 0.8, 0.9, 0.7)], ["is not above the median", "and 2 of them"]),
        (
            [entry("rhi", 0.8), entry("random-heads", 0.7), entry("all-heads", 0.8)],
            ["RHI adds nothing over", "a difference of 0.0000 [-0.0500, 0.0500]"],
        ),
        (
            [entry("dlsp", 0.90, choice="layer 3"), entry("best-layer", 0.905, choice="layer 4")],
            [
                "DLSP's layer 3 is within 0.01 of the best fixed layer (layer 4",
                "0.0050 below",
                "every layer: 1: 0.5000",
            ],
        ),
        (
            [entry("dlsp", 0.8), entry("best-layer", 0.9), entry("last-layer", 0.7)],
            ["not within", "adds 0.1000 of"],
        ),
        (
            [entry("dlsp", 0.8), entry("text-hiprobe-raw", 0.7), entry("text-hiprobe-smoothed", 0.85)],
            ["HiProbe-VAD adds nothing over the best of 2 rows of the model's own text (chosen on test)"],
        ),
        (
            [entry("dlsp", 0.8), entry("text-hiprobe-raw", 0.78), entry("text-headhunt-raw", 0.7)],
            [
                "adds 0.0200 of AUC [-0.0300, 0.0700] (95 % of paired resamples of the videos)",
                "(0.7800), which these videos cannot tell from zero.",
            ],
        ),
        (
            [entry(key, 0.8, choice="layer 3") for key in ("dlsp", "best-layer", "middle-layer")],
            ["DLSP chose the same as taking the middle layer: layer 3."],
        ),
        ([entry("rhi", 0.8), entry("text-headhunt-raw", math.nan)], []),
        (
            [entry("rhi", 0.8), entry("yes-headhunt-coarse-raw", 0.7), entry("text-headhunt-raw", 0.75)],
            ["over the model's own text (0.7500)", "over the model's own p(yes) (0.7000)"],
        ),
    ],
)
def test_what_is_said_follows_from_the_numbers(entries: list[Entry], words: list[str]) -> None:
    said = " ".join(verdicts(entries))
    assert [word for word in words if word not in said] == []
    assert bool(said) == bool(words)


def test_a_clear_gain_is_not_doubted() -> None:
    (said,) = verdicts([entry("dlsp", 0.8), entry("text-hiprobe-raw", 0.7)])
    assert said.endswith(
        "[0.0500, 0.1500] (95 % of paired resamples of the videos) over the model's own text (0.7000)."
    )


def test_without_intervals_nothing_is_said_of_them() -> None:
    plain = [Entry(key, key, (Fixed(auc),)) for key, auc in (("dlsp", 0.8), ("text-hiprobe-raw", 0.7))]
    assert verdicts(plain) == ("HiProbe-VAD adds 0.1000 of AUC over the model's own text (0.7000).",)
    worse = [Entry(key, key, (Fixed(auc),)) for key, auc in (("dlsp", 0.7), ("text-hiprobe-raw", 0.8))]
    assert verdicts(worse) == ("HiProbe-VAD adds nothing over the model's own text: AUC 0.7000 against 0.8000.",)


def test_the_median_of_draws_is_shown() -> None:
    assert entry("random-heads", 0.1, 0.9, 0.6).auc == 0.6
    assert np.isnan(entry("none").auc)


VIDEOS = tuple(Video(f"video{n}", f"{n}.mp4", 80, 25.0, "test", n % 2, "fall") for n in range(8))
TRUTH = ground_truth(
    Dataset("set", None, VIDEOS, tuple(Interval(v.video_id, 40, 80) for v in VIDEOS if v.label)), VIDEOS
)


def measured(noise: float, resamples: int = 200) -> Measured:
    """Measure scores of all videos that share one error and have some of their own."""
    shared, own = np.random.default_rng(0), np.random.default_rng(round(100 * noise))
    codes, starts = (grid.ravel() for grid in np.mgrid[0:8, 0:80:10])
    positive = (codes % 2 == 1) & (starts >= 40)
    scores = positive + shared.standard_normal(len(codes)) + noise * own.standard_normal(len(codes))
    laid = SegmentScores(codes, starts, starts + 10, scores)
    found: Evaluation = evaluate_scores(TRUTH, laid, math.nan, BootstrapConfig(resamples), with_baselines=False)
    return Measured({ALL: found}, clips=known_clips(TRUTH, laid)[0])


def test_a_difference_has_the_interval_of_paired_resamples() -> None:
    one, other = (Entry("", "", (measured(noise),)) for noise in (0.0, 0.05))
    found = one.difference(other)
    assert found.value == one.auc - other.auc
    assert found.low <= found.value <= found.high
    evaluation = one.draws[0].by_group[ALL]
    assert evaluation is not None
    low, high = evaluation.intervals["auc"]
    assert found.high - found.low < (high - low) / 3
    same = one.difference(one)
    assert (same.low, same.high, same.may_be_nothing) == (0, 0, True)


def test_there_is_no_interval_without_resamples_or_over_draws() -> None:
    plain = Entry("", "", (measured(0.0, resamples=0),))
    assert not plain.difference(Entry("", "", (measured(0.05),))).has_interval
    several = Entry("", "", (measured(0.0), measured(0.05)))
    assert not several.difference(several).has_interval
