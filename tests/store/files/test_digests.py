"""Digests: independent of order and layout, sensitive to every value, and equal to what plain hashlib says."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.support.profiles import laws
from tests.support.strategies import JSON_VALUES, MODERATE
from vadprobe.store.files import digests
from vadprobe.store.files.digests import digest_arrays, digest_file, digest_integers, digest_json, fingerprint_file

ARRAYS = arrays(st.sampled_from([np.int32, np.int64, np.float32, np.uint8]), array_shapes(max_dims=3, max_side=4))


def turned(value):
    """The same JSON value with the keys of every table in reverse order."""
    if isinstance(value, dict):
        return {name: turned(value[name]) for name in reversed(list(value))}
    return [turned(inner) for inner in value] if isinstance(value, list) else value


@MODERATE
@given(JSON_VALUES)
def test_the_order_of_keys_does_not_matter(value):
    assert digest_json(turned(value)) == digest_json(value)
    assert digest_json(json.loads(json.dumps(value))) == digest_json(value)


@MODERATE
@given(JSON_VALUES, JSON_VALUES)
def test_json_values_that_differ_have_other_digests(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest_json(one) == digest_json(other)) == same


def test_the_canonical_form_is_written_down():
    text = '{"a":[1,2.5,null,true],"ä":"→"}'
    assert digest_json({"ä": "→", "a": [1, 2.5, None, True]}) == hashlib.sha256(text.encode("utf-8")).hexdigest()


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": {"b": -float("inf")}}])
def test_values_outside_json_have_no_digest(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        digest_json(value)


@MODERATE
@given(st.binary(max_size=200))
def test_a_file_has_the_digest_of_its_bytes(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "content.bin"
    path.write_bytes(content)
    assert digest_file(path) == hashlib.sha256(content).hexdigest()


@MODERATE
@given(ARRAYS)
def test_byte_order_and_memory_layout_do_not_matter(array):
    wide = np.zeros((*array.shape, 2), array.dtype)
    wide[..., 0] = array
    swapped = array.astype(array.dtype.newbyteorder(">"))
    for same in (np.asfortranarray(array), wide[..., 0], swapped):
        assert digest_arrays([same]) == digest_arrays([array])


@MODERATE
@given(ARRAYS, st.data())
def test_every_value_the_dtype_and_the_shape_matter(array, data):
    position = data.draw(st.integers(0, array.size - 1))
    changed = array.copy()
    changed.view(np.uint8).reshape(-1)[position * array.itemsize] ^= 1
    other_dtype = array.view(np.dtype(f"V{array.itemsize}"))
    for other in ([changed], [other_dtype], [array[np.newaxis]], [array, array], []):
        assert digest_arrays(other) != digest_arrays([array])


def test_the_order_of_arrays_the_split_between_them_and_the_sign_of_zero_matter():
    one, other = np.arange(3.0), np.arange(2.0)
    seen = [[one, other], [other, one], [np.concatenate([one, other])], [one[:2], one[2:], other]]
    assert len({digest_arrays(arrays) for arrays in seen}) == len(seen)
    assert digest_arrays([np.array([0.0])]) != digest_arrays([np.array([-0.0])])
    assert digest_arrays([np.array(3.0)]) != digest_arrays([np.array([3.0])])


def test_arrays_of_objects_are_refused():
    with pytest.raises((TypeError, ValueError)):
        digest_arrays([np.array(["a", None], dtype=object)])


@laws(150)
@given(st.binary(min_size=1, max_size=40), st.data())
def test_a_fingerprint_sees_the_size_and_both_ends(tmp_path_factory, content, data):
    position = data.draw(st.integers(0, len(content) - 1))
    path = tmp_path_factory.getbasetemp() / "video.bin"

    def fingerprint(bytes_of_file):
        path.write_bytes(bytes_of_file)
        return fingerprint_file(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "_BLOCK", 8)
        before = fingerprint(content)
        changed = bytearray(content)
        changed[position] ^= 1
        between_the_ends = 8 <= position < len(content) - 8
        assert (fingerprint(bytes(changed)) == before) == between_the_ends
        assert fingerprint(content + b"\0") != before
        assert fingerprint(content[:-1]) != before


SHAPES = st.tuples(st.integers(0, 9)) | st.tuples(st.integers(0, 9), st.integers(1, 3))


@MODERATE
@given(st.lists(arrays(st.sampled_from([np.int32, np.int64]), SHAPES), min_size=1, max_size=4), st.integers(1, 4))
def test_integer_arrays_have_the_digest_of_their_json(parts, rows_at_a_time):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "_LIST_ROWS", rows_at_a_time)
        assert digest_integers(parts) == digest_json([part.tolist() for part in parts])
        assert digest_integers([part[::-1] for part in parts]) == digest_json([part[::-1].tolist() for part in parts])
