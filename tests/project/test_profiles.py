"""The short profile keeps every pair of parameters; the long one keeps everything."""

import itertools

import pytest

from tests.support import profiles
from tests.support.profiles import laws, some, thinned

AXES = (["a", "b", "c"], [1, 2], [None, 3.0, [4], "e"], [True, False])


@pytest.fixture(params=[False, True], ids=["short", "long"])
def long(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(profiles, "LONG", request.param)
    return bool(request.param)


def test_every_combination_of_the_strength_is_kept(long: bool) -> None:
    whole = list(itertools.product(*AXES))
    for strength in (1, 2, 3):
        rows = thinned(*AXES, strength=strength)
        assert all(row in whole for row in rows)
        for chosen in itertools.combinations(range(len(AXES)), strength):
            wanted = [list(values) for values in itertools.product(*(AXES[axis] for axis in chosen))]
            assert all(any([row[axis] for axis in chosen] == values for row in rows) for values in wanted)
        assert len(rows) == len(whole) if long else len(rows) < len(whole)
    assert thinned(*AXES, strength=len(AXES)) == whole
    assert thinned(*AXES, []) == []


def test_a_seed_decides_which_values_stay(long: bool) -> None:
    values = list(range(50))
    assert some(values, 5) == some(values, 5) == sorted(some(values, 5))
    assert len(some(values, 5)) == (50 if long else 5)
    assert some(values, 60) == values


def test_no_law_has_a_deadline_and_the_short_profile_repeats_itself(long: bool) -> None:
    assert laws(100).deadline is None
    assert (laws(100).max_examples, laws(20).max_examples, laws(5).max_examples) == (
        (100, 20, 5) if long else (20, 10, 5)
    )
    assert laws(100, short=7).max_examples == (100 if long else 7)
    assert laws(100).derandomize is not long
