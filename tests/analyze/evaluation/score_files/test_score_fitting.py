"""Foreign scores on the frames of a truth: nothing is cut, filled or left out unasked."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from vadprobe.analyze.evaluation.ground_truth import ground_truth
from vadprobe.analyze.evaluation.score_files.fitting import fit_scores
from vadprobe.analyze.evaluation.score_files.laying import LONGEST_SEGMENT, FitRules
from vadprobe.analyze.evaluation.score_files.values import VideoScores
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Interval, Video
from vadprobe.store.errors import VadprobeError

LENGTHS = {"a": 40, "b": 50, "c": 333}


def truth_of(lengths):
    rows = tuple(Video(name, "", n_frames=n, label=int(name == "b")) for name, n in lengths.items())
    return ground_truth(Dataset("made", Path(), rows, (Interval("b", 3, 9),) if "b" in lengths else ()), rows)


def listed(counts):
    """So many scores for each video, one after the other, all different."""
    return {name: VideoScores(np.arange(n) / 1000) for name, n in counts.items()}


def placed(segments, **kind):
    """Every video's (start, stop) segments, scored by their place."""
    return {
        name: VideoScores(np.arange(len(mine)) / 1000, *np.array(mine, dtype=np.int64).reshape(-1, 2).T, **kind)
        for name, mine in segments.items()
    }


def cut(n, width, first=0, last=0):
    return [(start + first, min(start + width, n) + last) for start in range(0, n, width)]


def frames_of(fitted):
    """Name to the score of every frame."""
    scores = fitted.scores
    return {
        name: np.repeat(scores.scores[scores.codes == code], scores.n_frames[scores.codes == code]).tolist()
        for code, name in enumerate(fitted.truth.video_ids)
    }


def message_of(found, truth=None, **rules):
    with pytest.raises(VadprobeError) as caught:
        fit_scores(found, truth or truth_of(LENGTHS), FitRules(**rules))
    return str(caught.value)


@laws(100)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=4), width=st.integers(1, 20))
def test_every_frame_has_the_score_of_its_segment(lengths: list[int], width: int) -> None:
    named = {f"v{place}": n for place, n in enumerate(lengths)}
    found = listed({name: -(-n // width) for name, n in named.items()})
    by_position = fit_scores(found, truth_of(named), FitRules(width))
    for name, scores in frames_of(by_position).items():
        assert scores == [frame // width / 1000 for frame in range(named[name])]
    closed = placed({name: cut(n, width, last=-1) for name, n in named.items()})
    by_frames = fit_scores(closed, truth_of(named), FitRules(convention="zero-based-closed"))
    assert frames_of(by_frames) == frames_of(by_position)
    numbered = placed({name: [(i, i + 1) for i in range(-(-n // width))] for name, n in named.items()}, unit="segment")
    assert frames_of(fit_scores(numbered, truth_of(named), FitRules(width))) == frames_of(by_position)
    assert by_position.notes == by_frames.notes == ()


def test_equal_neighbours_are_one_segment() -> None:
    fitted = fit_scores({"a": VideoScores(np.repeat([0.5, 0.25], 20))}, truth_of({"a": 40}), FitRules())
    assert fitted.scores.start_frames.tolist() == [0, 20]
    assert fitted.scores.stop_frames.tolist() == [20, 40]


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (lambda n: n - 1, "the convention 'n - 1' of the number of frames (--pad)"),
        (lambda n: n + 1, "the convention 'n + 1' of the number of frames (--trim)"),
        (lambda n: n // 16 * 16, "the convention 'floor to 16' of the number of frames (--pad)"),
        (lambda n: -(-n // 16) * 16, "the convention 'ceil to 16' of the number of frames (--trim)"),
        (lambda n: -(-n // 16), "one score per 16 frames (--segment-length 16)"),
        (lambda n: -(-n // 7), "one score per 7 frames (--segment-length 7)"),
        (lambda n: n // 16, "one score per 16 whole frames, the rest dropped (--segment-length 16 --pad)"),
    ],
)
def test_a_misfit_names_both_lengths_and_the_convention_that_fits(rule, fits) -> None:
    counts = {name: rule(n) for name, n in LENGTHS.items()}
    message = message_of(listed(counts))
    assert f"{counts['c']} scores for 333 frames" in message
    assert "All 3 videos would fit with" in message
    assert fits in message
    assert message_of(listed(counts), segment_length=1000).count("segments of 1000)") >= 1


def test_the_named_convention_does_fit() -> None:
    truth = truth_of(LENGTHS)
    for rule, rules in (
        (lambda n: n // 16 * 16, FitRules(pad=True)),
        (lambda n: -(-n // 16) * 16, FitRules(trim=True)),
        (lambda n: n // 16, FitRules(16, pad=True)),
        (lambda n: n, FitRules(pad=True, trim=True)),
    ):
        frames = frames_of(fit_scores(listed({name: rule(n) for name, n in LENGTHS.items()}), truth, rules))
        assert {name: len(scores) for name, scores in frames.items()} == LENGTHS
        assert all(scores[0] == 0 for scores in frames.values())


def test_what_was_padded_and_trimmed_is_said() -> None:
    found = {"a": VideoScores(np.arange(38) / 100), "b": VideoScores(np.arange(55) / 100)}
    fitted = fit_scores(found, truth_of({"a": 40, "b": 50}), FitRules(pad=True, trim=True))
    assert frames_of(fitted)["a"][-4:] == [0.36, 0.37, 0.37, 0.37]
    assert fitted.notes == (
        "1 video had too few scores, and the last one was repeated to the end: 2 frames in all, at most 2 (a): a.",
        "1 video had scores past the end, which were left out: 5 frames in all, at most 5 (b): b.",
    )


def test_a_rule_of_some_videos_only_is_no_segment_length() -> None:
    message = message_of(listed({**LENGTHS, "a": 5}))
    assert "the scores of 1 video do not fit the frames: a: 5 scores for 40 frames" in message
    assert "--segment-length" not in message
    assert "These 1 video would fit with the convention 'n - 1'" in message_of(listed({**LENGTHS, "a": 39}))


@pytest.mark.parametrize(
    ("segments", "rules", "sentence"),
    [
        ([(0, 10), (12, 40)], {}, "a: frames [10, 12) have no score (read as zero-based-half-open)"),
        ([(0, 12), (10, 40)], {}, "a: two scores are of frame 10, in [0, 12) and [10, 40)"),
        ([(0, 40), (0, 40)], {}, "a: two scores are of frame 0"),
        ([(0, 10), (10, 10), (10, 40)], {}, "a: the segment [10, 10) is empty"),
        ([(5, 40)], {}, "a: the first score is of frame 5, not 0"),
        ([(0, 30)], {}, "a: scores reach frame 30 of 40"),
        ([(0, 30)], {}, "All 1 video would fit with --pad"),
        ([(0, 60)], {}, "All 1 video would fit with --trim"),
        ([(0, 9), (10, 39)], {}, "would fit with --segments zero-based-closed"),
        ([(1, 10), (11, 40)], {}, "would fit with --segments one-based-closed"),
        ([(0, 39)], {"convention": "one-based-closed"}, "the first score is of frame -1, not 0"),
        ([(50, 60)], {"trim": True}, "no score begins before its end, frame 40"),
    ],
)
def test_segments_that_do_not_cover_a_video_once(segments, rules, sentence) -> None:
    assert sentence in message_of(placed({"a": segments}), truth_of({"a": 40}), **rules)


def test_numbered_segments_that_do_not_fit() -> None:
    truth = truth_of({"a": 40})
    numbered = placed({"a": [(0, 1), (1, 2), (2, 3)]}, unit="segment")
    message = message_of(numbered, truth)
    assert "a: scores reach frame 3 of 40." in message
    assert "--segment-length 16" in message
    message = message_of(placed({"a": [(0, 1), (1, 2), (2, 3), (3, 4)]}, unit="segment"), truth, segment_length=16)
    assert "a: scores reach frame 64 of 40" in message
    huge = placed({"a": [(2**40 - 1, 2**40)]}, unit="segment")
    assert "the first score is of frame" in message_of(huge, truth, segment_length=LONGEST_SEGMENT)


@pytest.mark.parametrize("width", [0, -1, LONGEST_SEGMENT + 1, 10**30])
def test_impossible_segment_lengths(width: int) -> None:
    assert f"got {width}." in message_of(listed(LENGTHS), segment_length=width)


def test_missing_videos_are_named_and_left_out_only_when_asked() -> None:
    found = listed({"a": 40, "B": 50, "c": 333, "zz": 1})
    message = message_of(found)
    assert "1 of 3 videos of 'made' have no scores: b." in message
    assert "If 'B' of the score file is the same video as 'b', rename it. --allow-missing" in message
    fitted = fit_scores(found, truth_of(LENGTHS), FitRules(allow_missing=True))
    assert fitted.truth.video_ids == ("a", "c")
    assert "Left out: 2 videos with scores, not in the ground truth: B, zz." in fitted.notes
    assert "Left out: 1 video without scores, in no number: b." in fitted.notes
    nothing = message_of(listed({"film": 3}), allow_missing=True)
    assert "3 of 3 videos" in nothing
    assert "The score file has others: film." in nothing
    assert "--allow-missing" not in nothing


def test_a_truth_that_names_folders_and_extensions_is_joined_by_the_plain_name() -> None:
    fitted = fit_scores(listed({"a": 40, "b": 50}), truth_of({"x/a": 40, "b.mp4": 50}), FitRules())
    assert fitted.truth.video_ids == ("b.mp4", "x/a")
    message = message_of(listed({"a": 40}), truth_of({"x/a": 40, "y/a": 40}))
    assert "the videos 'x/a' and 'y/a' of 'made' have one name without folder and extension" in message


def test_unknown_scores_are_counted_in_frames() -> None:
    found = {"a": VideoScores(np.array([math.nan, 0.5, math.nan]))}
    truth = truth_of({"a": 40})
    assert "24 frames of 1 video without a known score, null or NaN (a)" in message_of(found, truth, segment_length=16)
    fitted = fit_scores(found, truth, FitRules(16, allow_unknown=True))
    assert np.isnan(fitted.scores.scores).tolist() == [True, False, True]
    assert fitted.within_unit_range


def test_scores_outside_the_unit_range_are_counted_in_frames() -> None:
    fitted = fit_scores({"a": VideoScores(np.full(40, 2.0))}, truth_of({"a": 40}), FitRules())
    assert not fitted.within_unit_range
    assert fitted.notes[0].startswith("40 frames with scores outside [0, 1] (from 2 to 2)")


def test_empty_lists_and_empty_videos() -> None:
    assert "a: the list of its scores is empty" in message_of({"a": VideoScores(np.empty(0))}, truth_of({"a": 40}))
    truth = truth_of({"a": 0, "b": 50})
    assert frames_of(fit_scores(listed({"a": 0, "b": 50}), truth, FitRules()))["a"] == []
    assert "a: 1 scores for 0 frames" in message_of(listed({"a": 1, "b": 50}), truth)
    assert frames_of(fit_scores(listed({"a": 1, "b": 50}), truth, FitRules(trim=True)))["a"] == []


@laws(100)
@given(data=st.data())
def test_the_order_of_videos_and_segments_does_not_matter(data: st.DataObject) -> None:
    found = placed({name: cut(n, 9) for name, n in LENGTHS.items()})
    shuffled = {}
    for name in data.draw(st.permutations(list(found))):
        video = found[name]
        order = np.array(data.draw(st.permutations(range(len(video.scores)))))
        shuffled[name] = VideoScores(video.scores[order], video.starts[order], video.stops[order])
    lengths = {name: LENGTHS[name] for name in data.draw(st.permutations(list(LENGTHS)))}
    expected = frames_of(fit_scores(found, truth_of(LENGTHS), FitRules()))
    assert frames_of(fit_scores(shuffled, truth_of(lengths), FitRules())) == expected
