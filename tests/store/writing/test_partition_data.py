"""Values of a partition: they come back bit by bit, and values that do not fit are refused."""

from dataclasses import replace

import numpy as np
import pytest
import zarr

from tests.support.builders import FEATURES, all_features, committed_store, features, planned_store, tree
from vadprobe.store.errors import StoreError
from vadprobe.store.format.schema import feature_arrays
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing.writer import PartitionData


def stored_bits(path, name):
    """Every value of an array as zarr alone reads it, as bits."""
    values = np.asarray(zarr.open_array(path / name, mode="r")[...])
    return values.view(f"u{values.itemsize}")


def bits(values):
    return np.ascontiguousarray(values).view(f"u{values.itemsize}")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("n_clips", [1, 256, 258])
def test_stores_of_every_dtype_hold_what_was_written(tmp_path, dtype, n_clips):
    failures = {0: "the decoder was killed", n_clips - 1: "the file is empty"} if n_clips > 1 else {}
    writer = committed_store(tmp_path, n_clips, dtype, failures)
    for name in FEATURES:
        expected = all_features(writer.spec, name, failures)
        np.testing.assert_array_equal(stored_bits(writer.path, name), bits(expected))
    assert verify(writer.path).problems == ()


def test_a_failed_row_keeps_the_bits_of_its_nan(tmp_path):
    writer = planned_store(tmp_path, 2)
    data = features(writer.spec, 0, {1: "failed"})
    data.hidden_states.view(np.uint32)[1] = 0xFFA10000  # a NaN that bfloat16 has, with sign and payload
    writer.write_partition(0, data)
    assert (stored_bits(writer.path, "hidden_states")[1] == 0xFFA10000).all()
    data.hidden_states.view(np.uint32)[1] = 0x7FC00001
    with pytest.raises(StoreError, match="not bfloat16"):
        writer.write_partition(0, data)


@pytest.fixture(scope="module")
def half_written(tmp_path_factory):
    """A store of 257 rows whose first partition is written. Nothing below may change it."""
    writer = planned_store(tmp_path_factory.mktemp("half"), 257)
    writer.write_partition(0, features(writer.spec, 0))
    return writer


def _refused(writer, partition, data, message):
    before = tree(writer.path.parent)
    with pytest.raises(StoreError, match=message):
        writer.write_partition(partition, data)
    assert tree(writer.path.parent) == before


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused(half_written, name, value):
    data = features(half_written.spec, 0)
    getattr(data, name).reshape(256, -1)[200, -1] = value
    _refused(half_written, 0, data, rf"{name} of row 200 \('video 2'\) is not finite.* not named as failed.*bfloat16")


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("value", [0.0, 1.0, np.inf])
def test_a_failed_row_with_one_value_is_refused(half_written, name, value):
    data = features(half_written.spec, 0, {200: "failed"})
    getattr(data, name).reshape(256, -1)[200, -1] = value
    _refused(half_written, 0, data, f"{name}: a row named as failed holds values; it must be NaN")


@pytest.mark.parametrize(("partition", "row"), [(0, 256), (0, -1), (1, 255), (1, 257)])
def test_failures_of_other_partitions_are_refused(half_written, partition, row):
    data = replace(features(half_written.spec, partition), failures={row: "failed"})
    _refused(half_written, partition, data, rf"failures name rows \[{row}\], outside this partition's \[")


@pytest.mark.parametrize("name", FEATURES)
def test_other_shapes_and_dtypes_are_refused(half_written, name):
    data = features(half_written.spec, 1)
    values = getattr(data, name)
    for wrong in (values[..., :-1], np.concatenate([values, values]), values[:0], values[0]):
        _refused(half_written, 1, replace(data, **{name: wrong}), rf"{name} must have shape \(1, ")
    _refused(half_written, 1, replace(data, **{name: values.astype(np.float16)}), f"{name} holds float16")
    _refused(half_written, 1, replace(data, **{name: values * np.float32(1.001)}), f"{name} .*not bfloat16")


@pytest.mark.parametrize("partition", [-1, 2])
def test_a_partition_outside_the_store_is_refused(half_written, partition):
    _refused(
        half_written, partition, features(half_written.spec, 0), rf"partition {partition} does not exist; .* has 2"
    )


def test_an_empty_partition_is_all_nan_and_of_the_right_shape(half_written):
    data = PartitionData.empty(half_written.spec, 7)
    for array in feature_arrays(half_written.spec.backbone, 257):
        values = getattr(data, array.name)
        assert values.shape == array.rows(7)
        assert values.dtype == np.float32
        assert np.isnan(values).all()
    _refused(half_written, 1, PartitionData.empty(half_written.spec, 1), "not finite, and the row is not")
