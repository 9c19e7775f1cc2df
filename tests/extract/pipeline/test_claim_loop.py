"""The claim loop: who takes which partition, and waiting for those that other workers hold."""

import os
from pathlib import Path

import pytest

from tests.support.extractions import SEGMENTS, SHALLOW, WHOLE, make_extractor, run_one, store_of
from vadprobe.extract.model.backbone import Description
from vadprobe.extract.pipeline import claim_loop
from vadprobe.extract.pipeline.claim_loop import Listener, compute_pending, next_partition
from vadprobe.extract.pipeline.open_partition import PartitionKey
from vadprobe.store.claims.claim import ClaimLostError
from vadprobe.store.claims.local_claims import LocalClaim
from vadprobe.store.verification.verify import verify

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.mark.parametrize("finished", [True, False])
def test_partitions_in_other_hands_come_last_and_are_waited_for(
    tmp_path: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    """The other worker finishes its partition, or gives it back."""
    monkeypatch.setattr(claim_loop, "POLL", 0.05)
    samplings = [sampling.model_copy(update=SHALLOW) for sampling in (SEGMENTS, WHOLE)]
    extractor = make_extractor(video_folder, tmp_path / "root", internvl, samplings=samplings)
    other = make_extractor(video_folder, tmp_path / "root", internvl, samplings=samplings)
    claim, told = other.claims(0).hold(0), []

    def let_go(message: str) -> None:
        told.append(message)
        assert extractor.pending() == [(0, 0)]
        if finished:
            run_one(other, (0, 0), claim=claim)
        claim.release()

    elsewhere: list[tuple[int, int]] = []
    computed = compute_pending(extractor, Listener(tell=let_go, elsewhere=elsewhere.append))
    assert told == [
        f"Waiting for 1 partition that other workers are computing: partition 0 of segment-8-4 (process {os.getpid()} "
        f"on {os.uname().nodename}). If a worker ends, its partitions are taken over."
    ]
    assert (computed, elsewhere) == (([(1, 0)], [(0, 0)]) if finished else ([(1, 0), (0, 0)], []))
    assert extractor.commit() == other.commit() == [{}, {}]
    assert verify(store_of(extractor).path).problems == ()


def test_a_lost_partition_is_tried_again(
    tmp_path: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_loop, "POLL", 0.05)
    extractor = make_extractor(video_folder, tmp_path / "root", internvl)
    told: list[str] = []

    def lose(self: LocalClaim) -> None:  # as a claim on an object store may be lost
        if not told:
            raise ClaimLostError("another worker took it over")

    monkeypatch.setattr(LocalClaim, "check", lose)
    assert compute_pending(extractor, Listener(tell=told.append)) == [(0, 0)]
    assert told[0] == "another worker took it over"
    assert extractor.commit() == [{}]


@pytest.mark.parametrize(
    ("left", "last", "others", "wanted"),
    [
        ([], None, False, None),
        ([(0, 0), (0, 1)], None, False, (0, 0)),
        ([(0, 0), (0, 3), (0, 4)], (0, 2), False, (0, 3)),  # ours goes on
        ([(0, 0), (0, 3), (0, 4)], (0, 2), True, (0, 3)),
        ([(0, number) for number in range(1, 9)], None, True, (0, 5)),  # another worker has the first
        ([(0, 1), (0, 4), (0, 5), (0, 6), (0, 9)], None, True, (0, 5)),
        ([(0, 1), (0, 4)], (0, 1), False, (0, 1)),
        ([(0, 0), (1, 1), (1, 2)], (0, 0), True, (1, 2)),
        ([(0, 9), (1, 0)], (0, 8), True, (0, 9)),
        ([(1, 0)], (0, 0), True, (1, 0)),
    ],
)
def test_each_worker_stays_with_its_videos(
    left: list[tuple[int, int]], last: tuple[int, int] | None, others: bool, wanted: tuple[int, int]
) -> None:
    before = PartitionKey(*last) if last else None
    assert next_partition([PartitionKey(*key) for key in left], before, others) == wanted
