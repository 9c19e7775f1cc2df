"""The schema: shards are partitions, one inner chunk is one head, carriers hold every value of their dtype exactly."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from zarr.codecs import BloscCodec, Crc32cCodec

from tests.support.builders import BACKBONE, FEATURES, truncate_to_bfloat16
from tests.support.strategies import MODERATE, bfloat16_arrays, feature_specs
from vadprobe.store.errors import StoreError
from vadprobe.store.format import schema


@MODERATE
@given(st.integers(0, 5000))
def test_partitions_cover_every_row_once(n_clips):
    rows = [schema.partition_rows(partition, n_clips) for partition in range(schema.n_partitions(n_clips))]
    assert [row for span in rows for row in range(span.start, span.stop)] == list(range(n_clips))
    assert all(
        span.start % schema.PARTITION_ROWS == 0 and span.stop - span.start <= schema.PARTITION_ROWS for span in rows
    )
    for outside in (-1, len(rows)):
        with pytest.raises(StoreError, match=rf"partition {outside} does not exist; the store has {len(rows)} part"):
            schema.partition_rows(outside, n_clips)


@pytest.mark.parametrize(("n_clips", "count"), [(0, 0), (1, 1), (256, 1), (257, 2), (512, 2)])
def test_numbers_of_partitions(n_clips, count):
    assert schema.n_partitions(n_clips) == count


@MODERATE
@given(feature_specs())
def test_shards_hold_whole_partitions_and_chunks_divide_them(spec):
    found = schema.feature_arrays(spec.backbone, spec.n_clips)
    assert tuple(array.name for array in found) == FEATURES
    for array in found:
        assert array.dims[0] == "clip"
        assert len(set(array.dims)) == len(array.dims) == len(array.shape) == len(array.shard) == len(array.chunk)
        assert array.shape[0] == spec.n_clips
        assert array.shard == (schema.PARTITION_ROWS, *array.shape[1:])
        assert array.chunk[0] == schema.PARTITION_ROWS
        assert all(outer % inner == 0 for outer, inner in zip(array.shard, array.chunk, strict=True))
        assert array.rows(7) == (7, *array.shape[1:])


def test_an_inner_chunk_is_one_layer_or_one_head():
    hidden_states, head_outputs, answer_logits = schema.feature_arrays(BACKBONE, 300)
    assert hidden_states.shape == (300, BACKBONE.n_layers + 1, BACKBONE.hidden_size)
    assert hidden_states.chunk == (256, 1, BACKBONE.hidden_size)
    assert head_outputs.shape == (300, BACKBONE.n_layers, BACKBONE.n_heads, BACKBONE.head_dim)
    assert head_outputs.chunk == (256, 1, 1, BACKBONE.head_dim)
    assert answer_logits.shape == (300, len(schema.ANSWERS))
    chunks = math.prod(head_outputs.shard) // math.prod(head_outputs.chunk)
    assert chunks == BACKBONE.n_layers * BACKBONE.n_heads


def test_dimensions_of_one_name_have_one_length():
    sizes = {
        (name, size)
        for array in schema.feature_arrays(BACKBONE, 300)
        for name, size in zip(array.dims, array.shape, strict=True)
    }
    assert len(sizes) == len({name for name, _ in sizes})


def test_every_bfloat16_value_is_accepted_and_nothing_between():
    values = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    schema.check_values("hidden_states", values, "bfloat16")
    for low_bits in (1, 0x8000, 0xFFFF):
        between = (values.view(np.uint32) | np.uint32(low_bits)).view(np.float32)
        for value in between[:: 1 << 10]:
            with pytest.raises(StoreError, match=r"hidden_states .*not bfloat16 .*Declare dtype = 'float32' or round"):
                schema.check_values("hidden_states", np.array([[value]]), "bfloat16")


@MODERATE
@given(bfloat16_arrays((3, 4), finite=False), st.integers(0, 11), st.integers(1, 0xFFFF))
def test_one_value_that_is_not_bfloat16_is_found_in_any_layout(values, position, low_bits):
    wrong = values.copy()
    wrong.reshape(-1).view(np.uint32)[position] |= low_bits
    for one, other in ((values, wrong), (values.T, wrong.T), (values[:, ::-1], wrong[:, ::-1])):
        schema.check_values("head_outputs", one, "bfloat16")
        with pytest.raises(StoreError, match="not bfloat16"):
            schema.check_values("head_outputs", other, "bfloat16")


@MODERATE
@given(arrays(np.uint32, 5))
def test_truncation_makes_values_that_can_be_stored(bits):
    schema.check_values("head_outputs", truncate_to_bfloat16(bits.view(np.float32)), "bfloat16")


CARRIERS = {"bfloat16": ["f2", "f8", ">f4"], "float16": ["f4"], "float32": ["f2", "i4"]}


@pytest.mark.parametrize(("dtype", "wrong"), [(dtype, wrong) for dtype in CARRIERS for wrong in CARRIERS[dtype]])
def test_another_carrier_is_refused(dtype, wrong):
    values = np.zeros((2, 2), wrong)
    with pytest.raises(
        StoreError, match=rf"a holds {values.dtype}, but a {dtype} store .* {schema.storage_dtype(dtype)}\."
    ):
        schema.check_values("a", values, dtype)


@pytest.mark.parametrize(("dtype", "bits"), [("float16", np.uint16), ("float32", np.uint32)])
def test_float16_and_float32_carry_themselves(dtype, bits):
    assert schema.storage_dtype(dtype) == np.dtype(dtype)
    step = (1 << (8 * np.dtype(bits).itemsize)) // (1 << 16)
    schema.check_values("a", (np.arange(1 << 16).astype(bits) * bits(step)).view(dtype), dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_every_chunk_is_compressed_without_loss_and_then_summed(dtype):
    compressor, checksum = schema.codecs(dtype)
    assert isinstance(compressor, BloscCodec)
    assert isinstance(checksum, Crc32cCodec)
    assert compressor.shuffle.value == ("bitshuffle" if dtype == "bfloat16" else "shuffle")
