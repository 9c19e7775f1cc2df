"""The index of a shard says where its chunks lie, and any other index is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from vadprobe.store.format import shard_format

GRID = (1, 2, 3)


@laws(60)
@given(st.lists(st.none() | st.integers(0, 2**40), min_size=6, max_size=6))
def test_chunks_are_found_where_they_were_put(lengths):
    held = np.array([length is not None for length in lengths])
    stored = [length for length in lengths if length is not None]
    index = shard_format.encode_index(stored, held)
    n_bytes = sum(stored) + len(index)
    entries = shard_format.decode_index(index, GRID, n_bytes)
    places = shard_format.chunk_places(entries, np.flatnonzero(held).tolist(), GRID, n_bytes)
    shard_format.check_all_places(entries, places)
    assert sorted(number for *_, number in places) == np.flatnonzero(held).tolist()
    assert sum(stop - start for start, stop, _ in places) == sum(stored)
    for number in np.flatnonzero(~held).tolist():
        with pytest.raises(shard_format.DamagedShardError, match="it holds no chunk"):
            shard_format.chunk_places(entries, [number], GRID, n_bytes)


def test_an_index_of_other_chunks_is_refused():
    index = shard_format.encode_index([5] * 6, np.ones(6, bool))
    entries = shard_format.decode_index(index, GRID, 30 + len(index)).copy()
    with pytest.raises(shard_format.DamagedShardError, match="does not hold"):
        shard_format.check_all_places(entries, shard_format.chunk_places(entries, range(5), GRID, 30 + len(index)))
    entries[3] = entries[2] + 1
    with pytest.raises(shard_format.DamagedShardError, match="overlap"):
        shard_format.check_all_places(entries, shard_format.chunk_places(entries, range(6), GRID, 31 + len(index)))
    with pytest.raises(shard_format.DamagedShardError, match="fewer than its index"):
        shard_format.decode_index(index[1:], GRID, len(index) - 1)
    with pytest.raises(shard_format.DamagedShardError, match="checksum of its index"):
        shard_format.decode_index(index[:-1] + bytes([index[-1] ^ 1]), GRID, 30 + len(index))
