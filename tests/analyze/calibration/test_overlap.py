"""Nothing is reported on what it was fitted or tuned on, unless somebody says so."""

import pytest

from vadprobe.analyze.calibration.overlap import check_overlap, overlapping
from vadprobe.store.errors import VadprobeError


def test_the_same_name_or_the_same_file_overlap() -> None:
    reported = {"a": "1", "b": "2", "renamed": "9", "d": ""}
    assert overlapping(reported, {"b": "7", "c": "9", "e": ""}) == ("b", "renamed")
    assert overlapping(reported, {}) == ()


def test_overlap_is_refused_with_the_names_and_allowed_by_the_switch() -> None:
    with pytest.raises(
        VadprobeError, match=r"^something was tuned on 2 of the reported videos: a, b\. .*allow_overlap = true"
    ):
        check_overlap(("a", "b"), "tuned", allowed=False)
    check_overlap(("a", "b"), "tuned", allowed=True)
    check_overlap((), "tuned", allowed=False)


def test_of_another_dataset_only_the_files_are_compared() -> None:
    reported, used = {"a": "1", "b": "2", "c": ""}, {"a": "9", "x": "2", "c": ""}
    assert overlapping(reported, used) == ("a", "b", "c")
    assert overlapping(reported, used, same_dataset=False) == ("b",)
