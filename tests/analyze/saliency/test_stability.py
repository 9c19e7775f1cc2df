"""Stability of a choice: frequencies, overlap, and what random choices would share."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.analyze.saliency.stability import overlap, stability


def heads(*indices: tuple[int, int]) -> Selection:
    return Selection("head", "rhi", indices)


def test_frequencies_count_every_index_and_overlap_is_shared_by_pairs() -> None:
    found = stability([heads((0, 1), (2, 3)), heads((0, 1), (1, 1)), heads((0, 1), (2, 3))], (3, 4))
    assert found.frequency[0, 1] == 1
    assert found.frequency[2, 3] == pytest.approx(2 / 3)
    assert found.frequency.sum() == pytest.approx(2)
    assert found.overlap == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert found.chance_overlap == pytest.approx(2 / 12)
    assert found.most_frequent(2) == [((0, 1), 1.0), ((2, 3), pytest.approx(2 / 3))]
    assert len(found.most_frequent(10)) == 3  # what was never chosen is not listed


def test_layers_do_not_count_the_embedding_as_a_chance() -> None:
    found = stability([Selection("layer", "dlsp", ((2,),)), Selection("layer", "dlsp", ((3,),))], (5,))
    assert found.frequency.tolist() == [0, 0, 0.5, 0.5, 0]
    assert (found.overlap, found.chance_overlap) == (0, 0.25)


def test_a_single_selection_has_no_overlap() -> None:
    found = stability([heads((0, 0))], (1, 1))
    assert np.isnan(found.overlap)
    assert np.isnan(found.chance_overlap)


@laws(100)
@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(1, 5))
def test_random_choices_share_what_chance_says(seed: int, n_draws: int, top: int) -> None:
    generator = np.random.default_rng(seed)
    drawn = [sorted(generator.choice(12, top, replace=False).tolist()) for _ in range(n_draws)]
    found = stability([heads(*(divmod(number, 4) for number in numbers)) for numbers in drawn], (3, 4))
    assert found.frequency.sum() == pytest.approx(top)
    shares = [len({*a} & {*b}) / top for a, b in combinations(drawn, 2)]
    assert found.overlap == pytest.approx(np.mean(shares))
    assert found.chance_overlap == pytest.approx(top / 12)


def test_the_overlap_of_many_random_choices_is_that_of_chance() -> None:
    generator = np.random.default_rng(0)
    draws = [heads(*(divmod(int(n), 4) for n in generator.choice(12, 5, replace=False))) for _ in range(200)]
    found = stability(draws, (3, 4))
    assert found.overlap == pytest.approx(found.chance_overlap, abs=0.01)


def test_two_choices_share_what_both_have() -> None:
    found = overlap(heads((0, 1), (2, 3), (1, 1)), heads((0, 1), (2, 2)), 12)
    assert (found.shared, found.jaccard) == (1, 0.25)
    assert found.chance_shared == pytest.approx(0.5)
    same = overlap(heads((0, 1)), heads((0, 1)), 1)
    assert (same.shared, same.jaccard, same.chance_shared, same.chance_jaccard) == (1, 1, 1, 1)


@laws(50)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(5, 7))
def test_chance_is_the_mean_over_all_pairs_of_sets(a: int, b: int, total: int) -> None:
    fixed = {*range(a)}
    sets = [{*numbers} for numbers in combinations(range(total), b)]
    found = overlap(heads(*((0, n) for n in range(a))), heads(*((0, n) for n in range(b))), total)
    assert found.chance_shared == pytest.approx(np.mean([len(fixed & one) for one in sets]))
    assert found.chance_jaccard == pytest.approx(np.mean([len(fixed & one) / len(fixed | one) for one in sets]))
