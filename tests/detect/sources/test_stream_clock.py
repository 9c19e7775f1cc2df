"""The clock of a stream: never ahead of the arrival, even where the network stutters, going on behind a break."""

import pytest

from vadprobe.detect.sources.stream_clock import StreamClock


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def clock(hands: Hands) -> StreamClock:
    return StreamClock(hands, hands)


def test_frames_that_stutter_keep_the_even_times_of_their_stream(clock: StreamClock, hands: Hands) -> None:
    found = []
    for stamp, arrival in [(7.0, 1000.0), (7.1, 1000.1), (7.2, 1000.9), (7.3, 1000.9), (7.4, 1000.95)]:
        hands.now = arrival
        found.append(clock.read(stamp, 0.1))
    assert [seconds for seconds, _ in found] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [wall for _, wall in found] == pytest.approx([1000, 1000.1, 1000.2, 1000.3, 1000.4])


def test_no_frame_is_later_than_its_arrival(clock: StreamClock, hands: Hands) -> None:
    walls = []
    for number in range(20):  # twice as fast as the stream's clock: what a server had kept is sent at once
        hands.now = 1000 + number * 0.05
        walls.append(clock.read(number * 0.1, 0.1)[1])
        assert walls[-1] <= hands.now + 1e-9
    assert walls == sorted(walls)


def test_another_connection_goes_on_by_the_clock_of_this_machine(clock: StreamClock, hands: Hands) -> None:
    clock.read(50.0, 0.1)
    hands.now += 5.0
    clock.begin_part()
    assert not clock.breaks_off(0.0, 0.1)
    assert clock.read(0.0, 0.1) == pytest.approx((5.0, 1005.0))
    clock.begin_part()
    assert clock.read(3.0, 0.1) == pytest.approx((5.1, 1005.0))  # never before, or at, what was there


def test_jumps_and_slow_streams_are_told_apart(clock: StreamClock) -> None:
    clock.read(10.0, 0.04)
    assert clock.breaks_off(9.0, 0.04)
    assert clock.breaks_off(10.0, 0.04)
    assert clock.breaks_off(12.5, 0.04)
    assert not clock.breaks_off(11.9, 0.04)
    assert not clock.breaks_off(12.5, 1.0)  # one frame a second
    clock.rewind(None)
    assert not clock.breaks_off(0.0, 0.04)
