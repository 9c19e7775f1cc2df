"""Words of a sweep become values: numbers, ranges with both ends, sets of prompts in the job's order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from vadprobe.analyze.experiments.sweeps.values import numbers, prompt_set, subsets, whole_numbers
from vadprobe.store.errors import VadprobeError


def test_ranges_have_both_ends_and_decimal_steps() -> None:
    assert whole_numbers("K", "1..4", 1, None) == [1, 2, 3, 4]
    assert whole_numbers("K", "2..9..3", 1, None) == [2, 5, 8]
    assert numbers("tau", "0.1..0.9..0.1") == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert numbers("tau", "0.65") == [0.65]
    assert numbers("lambda", "1e-1") == [0.1]


@laws(100)
@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 7))
def test_a_range_is_python_s_own_with_its_end(start: int, length: int, step: int) -> None:
    stop = start + length
    assert whole_numbers("K", f"{start}..{stop}..{step}", 0, None) == list(range(start, stop + 1, step))


@pytest.mark.parametrize("word", ["x", "", "1.5", "0", "9", "3..1", "1..2..0", "1..2..-1", "1..2..3..4", "inf", "nan",
                                  "1..inf", "1.."])  # fmt: skip
def test_what_is_no_whole_number_within_bounds_is_refused(word: str) -> None:
    with pytest.raises(VadprobeError, match=r"^K must be whole numbers from 1 to 8, got "):
        whole_numbers("K", word, 1, 8)


@pytest.mark.parametrize("word", ["x", "inf", "nan", "-0.1", "1.1", "0..2..0.5", "0..1..1e-9"])
def test_what_is_no_number_within_bounds_is_refused(word: str) -> None:
    with pytest.raises(VadprobeError, match=r"^tau must be numbers at least 0 and at most 1, got "):
        numbers("tau", word, 0, 1)


def test_sets_of_prompts_have_the_job_s_order() -> None:
    assert prompt_set("prompts", "c+a", ["a", "b", "c"]) == "a+c"
    assert subsets(["a", "b", "c"]) == ["a", "b", "c", "a+b", "a+c", "b+c", "a+b+c"]
    with pytest.raises(VadprobeError, match=r"prompts of the job \(a, b\), joined by '\+', got 'a\+x'"):
        prompt_set("prompts", "a+x", ["a", "b"])
