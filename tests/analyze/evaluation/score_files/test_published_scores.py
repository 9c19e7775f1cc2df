"""Scores and names as others publish them: segments as keys, objects per video, answers in words, names without '#'."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.oracles.reference_evaluation import NO_SHARED, SHARED
from vadprobe.analyze.evaluation.ground_truth import GroundTruth, ground_truth
from vadprobe.analyze.evaluation.score_files.answers import AnswerRule
from vadprobe.analyze.evaluation.score_files.fitting import Fitted, fit_scores
from vadprobe.analyze.evaluation.score_files.joined_names import Renaming
from vadprobe.analyze.evaluation.score_files.laying import FitRules
from vadprobe.analyze.evaluation.score_files.reading import read_scores
from vadprobe.analyze.evaluation.score_files.values import VideoScores
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Video
from vadprobe.store.errors import VadprobeError

RULE = AnswerRule.of("anomalous scenes=1,normal scenes=0")


def truth_of(lengths: dict[str, int]) -> GroundTruth:
    rows = tuple(Video(name, "", n_frames=n, label=0) for name, n in lengths.items())
    return ground_truth(Dataset("made", Path(), rows, ()), rows)


def saved(folder: Path, content: Any) -> Path:
    (folder / "s.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / "s.json"


def message_of(path: Path, **options: Any) -> str:
    with pytest.raises(VadprobeError) as caught:
        read_scores(path, **options)
    return str(caught.value)


# Segments as keys


@pytest.mark.parametrize(
    "video",
    [
        {"0, 27": 0.25, "27, 134": None, "134, 235": 1},
        {"0, 27": [0.25, 0.2, "I think it is 0.2."], "27, 134": [None], "134, 235": [1, "..."]},
        {"[134, 235]": 1, "(0,27)": 0.25, "27-134": None},
    ],
)
def test_segments_as_keys_with_a_number_or_a_list_that_begins_with_it(tmp_path: Path, video: dict[str, Any]) -> None:
    found = read_scores(saved(tmp_path, {"config": {}, "vid_score": {"a.mp4": video}}), key="vid_score")["a"]
    order = np.argsort(found.starts)
    assert found.starts is not None
    assert found.stops is not None
    assert found.starts[order].tolist() == [0, 27, 134]
    assert found.stops[order].tolist() == [27, 134, 235]
    np.testing.assert_array_equal(found.scores[order], [0.25, math.nan, 1])
    with pytest.raises(VadprobeError, match=r"scores reach frame 235 of 236.*would fit with --pad"):
        fit_scores({"a": found}, truth_of({"a": 236}), FitRules(allow_unknown=True))
    fitted = fit_scores({"a": found}, truth_of({"a": 236}), FitRules(pad=True, allow_unknown=True))
    assert fitted.scores.stop_frames.tolist() == [27, 134, 236]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"a": {"0, 5": 1, "0, 5": 2}}', "has the segment '0, 5' of 'a' twice"),
        ('{"a": {"0, 5": []}}', "segment 0 of 'a' must be a number, or null (unknown), got []"),
        ('{"a": {"0, 5": {"x": 1}}}', "must be a number, or null"),
        ('{"a": {"0, 5": [[1]]}}', "must be a number, or null"),
        ('{"a": {"0, 5": 1, "end": 2}}', "holds objects, not lists of scores, under a"),
    ],
)
def test_segments_that_are_wrong(tmp_path: Path, content: str, sentence: str) -> None:
    assert sentence in message_of(saved(tmp_path, content))


# An object for every video


def test_an_object_for_every_video_is_read_by_its_inner_key(tmp_path: Path) -> None:
    content = {name: {"scores": [0.5, 1], "fps": 30, "frames": [0, 1]} for name in ("Abuse028_x264", "b")}
    path = saved(tmp_path, content)
    message = message_of(path)
    assert "name what holds the scores in each video's object: --scores-key '*.scores' (each has lists under" in message
    assert "Abuse028_x264'" not in message
    assert {name: video.scores.tolist() for name, video in read_scores(path, key="*.scores").items()} == {
        "Abuse028_x264": [0.5, 1.0], "b": [0.5, 1.0],
    }  # fmt: skip
    deep = saved(tmp_path, {"result": content})
    assert "--scores-key 'result.*.scores'" in message_of(deep, key="result")
    assert list(read_scores(deep, key="result.*.scores")) == ["Abuse028_x264", "b"]
    assert "there is no 'score' among scores, fps, frames" in message_of(saved(tmp_path, content), key="*.score")


def test_one_video_with_other_things_beside_its_scores(tmp_path: Path) -> None:
    path = saved(tmp_path, {"a": {"scores": [0.5], "fps": 30}})
    assert "--scores-key '*.scores'" in message_of(path)
    assert "--scores-key x.y" in message_of(saved(tmp_path, {"x": {"y": {"v": [1]}}}))


# Answers in words


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("Anomalous scenes. A person is climbing over a fence.", 1),
        ("normal  scenes", 0),
        ('"Normal scenes." A cat.', 0),
        ("**Anomalous scenes**: smoke", 1),
        ("Normal scenesX", None),
        ("Here are anomalous scenes.", None),
        ("", None),
    ],
)
def test_answers_have_the_score_of_their_beginning(answer: str, score: float | None) -> None:
    found = RULE.score(answer)
    assert math.isnan(found) if score is None else found == score


def test_the_longest_beginning_counts_and_numbers_are_the_last_ones() -> None:
    rule = AnswerRule.of("No = 0, not sure=0.5, no anomaly=0.1")
    assert [rule.score(text) for text in ("No.", "Not sure", "No anomaly here")] == [0, 0.5, 0.1]
    number = AnswerRule.of("number")
    texts = ("<think>maybe 0.7?</think>\n\n[0.2]", "Score: 1", "about 0.9.", "-3", "none", "v2x")
    assert [number.score(text) for text in texts[:4]] == [0.2, 1, 0.9, -3]
    assert all(math.isnan(number.score(text)) for text in texts[4:])


@pytest.mark.parametrize("rule", ["", "yes", "yes=", "=1", "yes=1,yes=0", "yes=one", "yes=nan", "yes=inf", "numbers"])
def test_rules_that_are_none(rule: str) -> None:
    with pytest.raises(VadprobeError, match="--answers must be 'number', or beginnings of answers"):
        AnswerRule.of(rule)


def test_answers_need_a_rule_and_what_it_says_nothing_of_is_counted(tmp_path: Path) -> None:
    answers = ["Anomalous scenes. x", "Unsure.", None, 0.25, "Normal scenes."]
    path = saved(tmp_path, {"a": answers, "b": {"0, 30": "Unsure.", "30, 40": ["Normal scenes.", 1]}})
    assert "Answers in words become scores by --answers, such as" in message_of(path)
    found = read_scores(path, answers=RULE)
    np.testing.assert_array_equal(found["a"].scores, [1, math.nan, math.nan, 0.25, 0])
    assert (found["a"].n_unmapped, found["b"].n_unmapped) == (1, 1)
    truth = truth_of({"a": 140, "b": 40})
    with pytest.raises(VadprobeError, match="without a known score"):
        fit_scores(found, truth, FitRules(30))
    fitted = fit_scores(found, truth, FitRules(30, allow_unknown=True))
    assert "2 answers of 2 videos without a score by --answers: a, b." in fitted.notes
    (tmp_path / "s.csv").write_text("video_id,frame,score\na,0,1\n")
    assert "--answers goes with a JSON file" in message_of(tmp_path / "s.csv", answers=RULE)


# Names


def joined(names: list[str], truth: dict[str, int], renaming: Renaming | None = None, **rules: Any) -> Fitted:
    return fit_scores(
        {name: VideoScores(np.zeros(4)) for name in names}, truth_of(truth), FitRules(renaming=renaming, **rules)
    )


def test_names_without_signs_are_joined_by_letters_and_digits_and_told_once() -> None:
    truth = {"A.Film__#00-01_label_A": 4, "v=b_c__#1_label_A": 4, "same": 4}
    fitted = joined(["AFilm__00-01_label_A", "v=b_c__1_label_A", "same"], truth)
    assert set(fitted.truth.video_ids) == set(truth)
    (note,) = fitted.notes
    assert note.startswith("2 videos joined by the letters and digits of their names alone")
    assert "'AFilm__00-01_label_A' is 'A.Film__#00-01_label_A'" in note


@pytest.mark.parametrize(
    ("names", "truth"),
    [
        (["a1"], {"a#1": 4, "a-1": 4}),  # two of the truth have them
        (["a+1", "a_1"], {"a#1": 4}),  # two of the file have them
        (["a1", "a#1"], {"a#1": 4, "a-1": 4}),  # one of the two is there by its own name
        (["###"], {"---": 4}),  # nothing is left
        (["A1"], {"a#1": 4}),  # case is part of names
    ],
)
def test_letters_and_digits_of_several_names_join_nothing(names: list[str], truth: dict[str, int]) -> None:
    with pytest.raises(VadprobeError, match="have no scores"):
        joined(names, truth)


def test_a_renaming_is_of_both_sides() -> None:
    truth = {"a#1": 4, "b#1": 4}
    for names in (["a1", "b1"], ["a#1", "b#1"], ["a#1", "b1"]):
        assert joined(names, truth, Renaming.of("#=")).notes == ()
    assert joined(["a_1"], {"a 1": 4}, Renaming.of(" =_")).notes == ()
    with pytest.raises(VadprobeError, match="--rename makes one name, 'a1', of the videos 'a#1' and 'a1' of 'made'"):
        joined(["a1"], {"a#1": 4, "a1": 4}, Renaming.of("#="))
    with pytest.raises(VadprobeError, match="of the videos 'a1' and 'a#1' of the score file"):
        joined(["a1", "a#1"], {"a#1": 4}, Renaming.of("#="))
    for text in ("#", "=x", ""):
        with pytest.raises(VadprobeError, match="--rename must be OLD=NEW"):
            Renaming.of(text)


@pytest.mark.skipif(not SHARED.is_dir(), reason=NO_SHARED)
@pytest.mark.parametrize("renaming", [None, Renaming("#", "")])
def test_all_names_of_xd_violence_without_hash_signs(renaming: Renaming | None) -> None:
    names = (SHARED / "xd-violence" / "test_videos.txt").read_text().split("\n")
    truth = {name: 4 for name in names if name}
    assert len(truth) == 800
    fitted = joined([name.replace("#", "") for name in truth], truth, renaming)
    assert len(fitted.truth.video_ids) == 800
    assert len(fitted.notes) == (0 if renaming else 1)
