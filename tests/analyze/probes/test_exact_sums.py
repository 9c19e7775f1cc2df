"""Sums that no order changes: exact addition, and rounding far below float64's."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support import profiles
from vadprobe.analyze.probes.streaming.exact_sums import from_multiples, quantum, to_multiples

laws = profiles.laws(100)
numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(numbers, st.randoms(use_true_random=False), st.integers(-200, 200))
@laws
def test_any_order_and_any_cut_give_the_same_bits_and_nearly_the_exact_sum(values, random, exponent):
    values = np.ldexp(np.array(values), exponent)
    bound = max(float(np.abs(values).sum()), math.ldexp(1.0, exponent))
    quanta = quantum(np.array([bound]))
    fixed = to_multiples(values, quanta)
    shuffled = np.array(random.sample(fixed.tolist(), len(fixed)))
    cut = random.randint(0, len(values))
    total = from_multiples(fixed.sum(keepdims=True), quanta)
    assert from_multiples(np.array([shuffled[:cut].sum() + shuffled[cut:].sum()]), quanta).tobytes() == total.tobytes()
    assert abs(total[0] - math.fsum(values)) <= len(values) * 2.0**-58 * bound + 2.0**-52 * abs(total[0])


@given(st.floats(1e-300, 1e300), st.integers(1, 5))
@laws
def test_the_bound_itself_does_not_overflow(bound, parts):
    quanta = quantum(np.array([bound]))
    for sign in (1, -1):
        fixed = to_multiples(np.full(parts, sign * bound / parts), quanta)
        np.testing.assert_allclose(from_multiples(fixed.sum(keepdims=True), quanta), sign * bound, rtol=1e-15)
    assert math.frexp(float(quanta[0]))[0] == 0.5, "a power of two, so that multiplying by it rounds nothing"
