"""Helpers of the tests of verification: the files of a store, its problems, and ways to damage it."""

from tests.support.builders import BACKBONE
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.partition_records import shard_path
from vadprobe.store.format.schema import feature_arrays
from vadprobe.store.verification.verify import verify

N_CLIPS = 300
FAILURES = {3: "the decoder was killed", 299: "the file is damaged"}


def shards_of(store, partition, n_clips=N_CLIPS):
    """Return the shards of a partition by array."""
    return {array.name: shard_path(store, array, partition) for array in feature_arrays(BACKBONE, n_clips)}


def record_of(store, partition):
    """Return the path of a partition's record."""
    return records_of(store) / f"{partition:06d}.json"


def found(store):
    """Return (partition, message) of every problem."""
    return [(problem.partition, problem.message) for problem in verify(store).problems]


def only(problems, partition, message):
    """Check that there is exactly one problem, in that partition and with that message in it."""
    assert len(problems) == 1, problems
    assert problems[0][0] == partition
    assert message in problems[0][1]


def flip(path, position=50, bit=1):
    """Flip a bit of a file."""
    changed = bytearray(path.read_bytes())
    changed[position] ^= bit
    path.write_bytes(changed)
