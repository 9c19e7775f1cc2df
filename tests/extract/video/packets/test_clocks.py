"""A video's clock: seams are found where it breaks off, and nowhere else; behind them it goes on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from vadprobe.extract.video.packets.clocks import Seam, find_seams, on_one_clock

TICK, STEP = 1 / 90_000, 3600
GROUP = np.array([0, 4, 2, 1, 3, 8, 6, 5, 7, 11, 9, 10])
"""Order in which twelve frames are stored."""


def stored(n_groups: int, first: int = 0) -> np.ndarray:
    """Presentation times of groups of twelve reordered frames."""
    return STEP * (np.concatenate([GROUP + 12 * number for number in range(n_groups)]) + first)


def keys_of(stamps: np.ndarray) -> np.ndarray:
    return np.arange(len(stamps)) % 12 == 0


def seams(stamps: np.ndarray, keys: np.ndarray | None = None, doubtful: tuple[int, ...] = (), sound: bool = True):
    marks = np.isin(np.arange(len(stamps)), doubtful)
    return find_seams(stamps, keys_of(stamps) if keys is None else keys, marks, sound, TICK)


@pytest.mark.parametrize(
    "stamps",
    [
        pytest.param(stored(1)[:0], id="empty"),
        pytest.param(np.array([5]), id="one frame"),
        pytest.param(stored(4), id="reordered"),
        pytest.param(STEP * np.arange(48) ** 2, id="variable rate"),
        pytest.param(90_000 * 20 * np.arange(48), id="a frame in twenty seconds"),
    ],
)
def test_a_clock_that_goes_on_has_no_seams(stamps: np.ndarray) -> None:
    assert seams(stamps) == ()
    assert on_one_clock(stamps, ()) is stamps


@pytest.mark.parametrize(
    ("second", "jump"),
    [
        (stored(2), -36.0),
        (stored(2, 36 - 20), -20.0),
        (stored(2, 36 + 250), 250.0),
        (stored(2, 36 - 10_000), -10_000.0),
    ],
)
def test_a_part_begins_at_a_key_frame(second: np.ndarray, jump: float) -> None:
    stamps = np.concatenate([stored(3), second])
    assert seams(stamps) == (Seam(36, pytest.approx(jump / 25), True),)
    assert on_one_clock(stamps, seams(stamps)).tolist() == stored(5).tolist()


def test_a_part_that_follows_exactly_is_told_by_its_counters() -> None:
    assert seams(stored(5), doubtful=(34,)) == seams(stored(5), doubtful=(35,)) == (Seam(36, 0.0, True, True),)
    assert seams(stored(5), doubtful=(20,), sound=False) == ()


def test_a_clock_that_wraps_in_the_middle_of_a_group_goes_on() -> None:
    stamps = STEP * np.arange(48) + 2**33 - 30 * STEP
    wrapped = np.where(stamps < 2**33, stamps, stamps - 2**33)
    assert [(seam.packet, seam.is_key) for seam in seams(wrapped)] == [(30, False)]
    assert (np.diff(on_one_clock(wrapped, seams(wrapped))) == STEP).all()


def test_a_jump_in_the_middle_of_a_group_is_a_seam_only_where_packets_are_missing() -> None:
    stamps = STEP * (np.arange(48) + 250 * (np.arange(48) >= 30))
    assert seams(stamps) == ()
    assert [seam.packet for seam in seams(stamps, doubtful=(28,), sound=False)] == [30]
    few = STEP * (np.arange(48) + 10 * (np.arange(48) >= 30))  # so few are lost packets
    assert seams(few, doubtful=(28,), sound=False) == ()


@laws(50)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(-10_000, 10_000)), min_size=1, max_size=6))
def test_any_parts_are_put_one_behind_the_other(parts: list[tuple[int, int]]) -> None:
    """All stamps come out distinct, in the order of the parts, if counters tell the parts apart."""
    stamps = np.concatenate([stored(n_groups, first) for n_groups, first in parts])
    starts = np.cumsum([12 * n_groups for n_groups, _ in parts])[:-1]
    found = seams(stamps, doubtful=tuple(int(start) - 2 for start in starts))
    assert [seam.packet for seam in found] == starts.tolist()
    assert on_one_clock(stamps, found).tolist() == (stored(sum(n for n, _ in parts), parts[0][1])).tolist()
