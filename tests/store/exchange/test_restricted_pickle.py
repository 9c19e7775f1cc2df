"""Pickles read as data: every kind of tensor comes back, and nothing a file asks for is ever run.

Hostile files are made here and never committed. None is opened with Python's own unpickler.
"""

import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import laws
from vadprobe.store.errors import VadprobeError
from vadprobe.store.exchange.pickles import opcode_scan, restricted_pickle
from vadprobe.store.exchange.pickles.pickled_values import PickledArray, PickleError
from vadprobe.store.exchange.pickles.torch_files import read_tensors

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
TEXTS = st.text() | st.binary()
TENSOR_DTYPES = ("bfloat16", "float16", "float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")


class Call:
    """Pickled as a call of anything."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A file that a hostile pickle would make."""
    return tmp_path / "executed"


def refusal(content: bytes) -> str:
    with pytest.raises(PickleError) as caught:
        read_tensors(content)
    assert isinstance(caught.value, VadprobeError)
    assert len(str(caught.value)) < 400
    return str(caught.value)


def read_or_refused(content: bytes) -> None:
    """Whatever it is, nothing else than a sentence may come of it."""
    with contextlib.suppress(PickleError):
        resolved(read_tensors(content))


def resolved(value: Any) -> Any:
    """A value with its arrays made."""
    if isinstance(value, PickledArray):
        return value.to_numpy()
    if isinstance(value, dict):
        return {key: resolved(item) for key, item in value.items()}
    return type(value)(map(resolved, value)) if isinstance(value, list | tuple) else value


def torch_contents(value: Any) -> list[bytes]:
    """A value as each of torch's formats and each protocol of a plain pickle."""
    torch = pytest.importorskip("torch")
    contents = [pickle.dumps(value, protocol) for protocol in PROTOCOLS]
    for as_zip in (True, False):
        file = io.BytesIO()
        torch.save(value, file, _use_new_zipfile_serialization=as_zip)
        contents.append(file.getvalue())
    return contents


# What is read.


@pytest.mark.parametrize("dtype", TENSOR_DTYPES)
def test_tensors_of_every_dtype_and_layout_come_back(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    whole = (torch.randn(6, 4, 10, generator=torch.Generator().manual_seed(0)) * 50).to(getattr(torch, dtype))
    tensors = {
        "whole": whole,
        "offset": whole[2:],
        "strided": whole[::2, 1:, ::3],
        "transposed": whole.permute(2, 0, 1),
        "scalar": whole[1, 2, 3],
        "empty": whole[:0],
    }
    for content in torch_contents({"tensors": tensors, "again": whole}):
        found = resolved(read_tensors(content))
        for name, tensor in {**tensors, "again": whole}.items():
            expected = (tensor.float() if dtype == "bfloat16" else tensor).contiguous().numpy()
            got = found["again"] if name == "again" else found["tensors"][name]
            assert got.dtype == expected.dtype
            assert got.shape == expected.shape
            assert got.tobytes() == expected.tobytes()


def test_every_bfloat16_comes_back_bit_for_bit() -> None:
    torch = pytest.importorskip("torch")
    bits = np.arange(1 << 16, dtype=np.uint16)
    tensor = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16)
    for content in torch_contents([tensor]):
        (found,) = resolved(read_tensors(content))
        assert found.dtype == np.float32
        assert np.array_equal(found.view(np.uint32), bits.astype(np.uint32) << 16)


def test_a_parameter_and_a_size_are_plain_values() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.arange(3.0))
    for content in torch_contents({"weight": weight, "size": torch.Size([3, 4])})[2:]:
        found = resolved(read_tensors(content))
        assert found["weight"].tolist() == [0, 1, 2]
        assert found["size"] == (3, 4)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_plain_values_come_back(protocol: int) -> None:
    value = {
        "c": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "strided": np.arange(20, dtype=np.int16)[::3],
        "swapped": np.arange(3, dtype=">f8"),
        "half": np.arange(3, dtype=np.float16),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 4), np.float32),
        "number": np.float32(2.5),
        "word": np.str_("naïve"),
        "numbers": [None, True, False, 0, -1, 255, 65536, 1 << 40, -(1 << 100), 0.1],
        "plain": ["text", b"bytes", (), (1,), (1, 2, 3), (1, 2, 3, 4)],
        "ordered": OrderedDict(a=1, b=[2]),
        "nested": {"": {"x": [[], {}]}},
        7: "a small number",
    }
    found = resolved(read_tensors(pickle.dumps(value, protocol)))
    assert found.keys() == value.keys()
    for name, expected in value.items():
        if isinstance(expected, np.ndarray):
            assert found[name].dtype == expected.dtype.newbyteorder("=")
            assert np.array_equal(found[name], expected)
            assert found[name].flags["C_CONTIGUOUS"]
        else:
            assert found[name] == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(1 << 120), 1 << 120) | st.floats(allow_nan=False) | TEXTS,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
        max_leaves=20,
    ),
    st.sampled_from(PROTOCOLS),
)
@laws(150)
def test_whatever_plain_value_is_pickled_comes_back(value: Any, protocol: int) -> None:
    assert read_tensors(pickle.dumps(value, protocol)) == value


def test_a_value_that_is_named_twice_is_one_value() -> None:
    shared = [1, 2]
    found = read_tensors(pickle.dumps([shared, shared]))
    assert found == [[1, 2], [1, 2]]
    assert found[0] is found[1]


# What is refused.


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_call_is_named_and_not_made(protocol: int, trap: Path) -> None:
    message = refusal(pickle.dumps({"oproj_inputs": Call(os.system, f"touch {trap}")}, protocol))
    assert message == f"the pickle asks for {os.name}.system; only tensors and plain containers are read"
    for function, argument in ((eval, f"open({str(trap)!r}, 'w')"), (exec, "1"), (getattr, "x"), (__import__, "os")):
        message = refusal(pickle.dumps([Call(function, argument)], protocol))
        assert f".{function.__name__};" in message
    assert not trap.exists()


def test_hostile_pickles_of_many_kinds_are_refused(trap: Path) -> None:
    command = f"touch {trap}".encode()
    argument = b"(U" + bytes([len(command)]) + command + b"tR."
    hostile = {
        "posix.system": b"cposix\nsystem\n" + argument,
        "os.system": b"(ios\nsystem\n.",  # INST
        "subprocess.Popen": b"csubprocess\nPopen\n(tR.",
        "builtins.getattr": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(U\x02ostRU\x06systemtR" + argument,
        "numpy.core.multiarray.os.system": (b"\x80\x04\x8c\x15numpy.core.multiarray\x8c\x09os.system\x93" + argument),
        "torch._utils._rebuild_tensor_v2.__globals__": (
            b"\x80\x04\x8c\x0ctorch._utils\x8c\x1e_rebuild_tensor_v2.__globals__\x93."
        ),
        "copyreg._reconstructor": b"ccopyreg\n_reconstructor\n(c__main__\nX\nc__builtin__\nobject\nNtR.",
        "torch.jit._pickle.build_tensor_from_id": b"ctorch.jit._pickle\nbuild_tensor_from_id\n(tR.",
        "pickle.loads": b"cpickle\nloads\n(tR.",
        "numpy.load": b"cnumpy\nload\n(tR.",
        "numpy._core.multiarray.fromfile": b"cnumpy._core.multiarray\nfromfile\n(tR.",
        "the extension registry": b"\x80\x02\x82\x01.",
        "outside of it": b"\x80\x02X\x01\x00\x00\x00aQ.",
        "PERSID": b"Pid\n.",
        "NEWOBJ": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    }
    for expected, content in hostile.items():
        assert expected in refusal(content), content
    assert not trap.exists()


def test_a_text_of_numpy_that_is_recalled_again_and_again_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restricted_pickle, "_MOST_TEXT", 1000)
    scalar = pickle.dumps(np.array(["x" * 100])[0], 2)
    assert read_tensors(scalar) == "x" * 100
    many = pickle.dumps([np.array(["x" * 100])[0] for _ in range(11)], 2)
    assert "more text of NumPy" in refusal(many)


def test_names_are_words_and_can_only_be_called_as_torch_and_numpy_call_them() -> None:
    for content in (
        b"ctorch\nFloatStorage\n.",  # a type is no value
        b"ctorch\nFloatStorage\n(tR.",  # and cannot be called
        b"cnumpy\nndarray\n(tR.",
        b"(lp0\nctorch\nFloatStorage\na.",
        b"cnumpy\ndtype\n(tR.",
        b"cnumpy\ndtype\n(U\x02O8I00\nI01\ntR(I3\nU\x01|NNNI-1\nI-1\nI63\ntbp0\n0ccollections\nOrderedDict\n(g0\ntR.",
        b"ccollections\nOrderedDict\n((lp0\ntR.",
        b"c_codecs\nencode\n(U\x01aU\x03hextR.",
        b"c_codecs\nencode\n(V\\u1234\nU\x06latin1tR.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(tR.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(NI0\n(t(tI00\n}tR.",
        b"ctorch._utils\n_rebuild_parameter\n(NNNtR.",
        b"ctorch\nSize\n(NtR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I5\ntU\x01btR.",
        b"cnumpy\ndtype\n}b.",  # nor has a name a state
        b"}(I1\nI2\nub.",  # no state for a dictionary
        # a byte array that grows while an array looks at it
        b"\x80\x05\x96\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x94cnumpy.core.numeric\n_frombuffer\n(h\x00"
        b"cnumpy\ndtype\n(X\x02\x00\x00\x00f4I00\nI01\ntRK\x01\x85X\x01\x00\x00\x00CtR0h\x00K\x00a.",
        b"(dp0\n}b.",
    ):
        refusal(content)


def test_an_array_of_objects_is_refused_before_its_elements_are_anything(trap: Path) -> None:
    objects = np.array([Call(os.system, f"touch {trap}"), 1], dtype=object)
    for protocol in PROTOCOLS[2:]:
        message = refusal(pickle.dumps(objects, protocol))
        assert "system" in message or "Python objects" in message
        assert "Python objects" in refusal(pickle.dumps(np.array([None, 1], dtype=object), protocol))
    for other in (np.zeros(2, "f4,i4"), np.zeros(2, "M8[s]"), np.array(["a"]), np.zeros(1, np.complex64)):
        assert "only arrays of numbers are read" in refusal(pickle.dumps({"x": other}))
    assert not trap.exists()


def test_the_inner_file_of_a_tensor_is_read_as_carefully(trap: Path) -> None:
    torch = pytest.importorskip("torch")
    command = f"touch {trap}".encode()
    assert b"_load_from_bytes" in pickle.dumps(torch.arange(3.0), 2)
    bad_inner = b"cposix\nsystem\n(U" + bytes([len(command)]) + command + b"tR."
    load = b"ctorch.storage\n_load_from_bytes\n(C"
    for inner in (bad_inner, _legacy(bad_inner), b""):
        message = refusal(load + bytes([len(inner)]) + inner + b"tR.")
        assert "system" in message or "arguments it never has" in message
    nested = _legacy(load + b"\x01atR.")
    assert "_load_from_bytes" in refusal(load + bytes([len(nested)]) + nested + b"tR.")
    for as_zip in (True, False):
        file = io.BytesIO()
        torch.save({"x": Call(os.system, f"touch {trap}")}, file, _use_new_zipfile_serialization=as_zip)
        assert "system" in refusal(file.getvalue())
    assert not trap.exists()


def _legacy(value: bytes, keys: bytes = b"(l.") -> bytes:
    """A file of torch's older format with a pickle of one's own."""
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    machine = pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2)
    return magic + pickle.dumps(1001, 2) + machine + value + keys


def test_sizes_that_the_file_cannot_hold_are_refused() -> None:
    torch = pytest.importorskip("torch")
    expanded = torch.zeros(1).expand(1 << 20, 1 << 20)
    for content in torch_contents(expanded):
        assert "more than the file could hold" in refusal(content)
    storage = b"(Vstorage\nctorch\nFloatStorage\nVk\nVcpu\nI%d\nNtQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"I%d\n(I%d\nt(I%d\ntI00\n}tR."

    def file_of(*numbers: int) -> bytes:
        """A tensor by the size of its storage, offset, size and stride."""
        return _legacy(tensor % numbers, pickle.dumps(["k"], 2))

    for count, *others in ((1 << 40, 0, 1, 1), (1 << 70, 0, 1, 1), (-1, 0, 1, 1), (2, 0, 3, 1), (2, 1, 2, 1)):
        refusal(file_of(count, *others) + struct.pack("<q", count % 100))
    values = struct.pack("<q2f", 2, 1, 2)
    for numbers in ((0, 2, -1), (-1, 1, 1), (0, 2, 2), (0, 1 << 62, 0), (0, -1, 1)):
        refusal(file_of(2, *numbers) + values)
    assert read_tensors(file_of(2, 0, 2, 1) + values).to_numpy().tolist() == [1, 2]


def test_a_short_file_takes_little_memory_whatever_it_asks_for() -> None:
    shapes = [(1 << 30, 1 << 30), (1 << 59,), (0, 1 << 40, 1 << 40)]
    contents = [
        pickle.dumps(np.zeros(1)).replace(b"K\x01\x85", b"J\xff\xff\xff\x7f\x85"),
        b"\x80\x04B\xff\xff\xff\x7fabc.",  # bytes that are not there
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0fabc.",
        b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
        b"\x80\x02r\xff\xff\xff\x7f.",
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # a memo at a large number
        b"]" * 100_000 + b".",
        b"(" * 100_000 + b".",
        b"I" + b"9" * 100_000 + b"\n.",
    ]
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR(I1\n(%s"
    array += b"tcnumpy\ndtype\n(U\x02f8I00\nI01\ntRI00\nC\x00tb."
    contents += [array.replace(b"%s", b"".join(b"I%d\n" % size for size in shape)) for shape in shapes]
    tracemalloc.start()
    try:
        for content in contents:
            read_or_refused(content)
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


def test_the_same_large_argument_is_not_made_again_and_again() -> None:
    text = b"X" + struct.pack("<I", 1_000_000) + b"a" * 1_000_000
    call = b"c_codecs\nencode\n(g0\nX\x06\x00\x00\x00latin1tR"
    tracemalloc.start()
    try:
        found = read_tensors(b"(" + text + b"p0\n" + call * 200 + b"l.")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert len(found) == 201
    assert found[1] == b"a" * 1_000_000


@pytest.mark.parametrize(
    "content",
    [
        b"\x95" + struct.pack("<Q", 3) + b"NX\x01\x00\x00\x00a0.",  # ends within the length of a text
        b"\x95" + struct.pack("<Q", 20) + b"\x95" + struct.pack("<Q", 2) + b"N.",  # in another frame
    ],
)
def test_frames_that_the_unpickler_would_read_otherwise_are_refused(content: bytes) -> None:
    """If a frame cuts an argument, Python's unpickler goes on elsewhere than the scan of the opcodes."""
    assert "frames cut its values" in refusal(b"\x80\x04" + content)


def test_a_storage_takes_no_state() -> None:
    inner = _legacy(b"(Vstorage\nctorch\nFloatStorage\nVk\nVcpu\nI1\nNtQ.", pickle.dumps(["k"], 2))
    inner += struct.pack("<qf", 1, 1)
    load = b"ctorch.storage\n_load_from_bytes\n(B" + struct.pack("<I", len(inner)) + inner + b"tR"
    assert "state of a storage" in refusal(load + b"}Vcount\nI1000000\nsb.")


def test_too_many_opcodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcode_scan, "MOST_OPCODES", 100)
    assert "opcodes" in refusal(b"]" * 200 + b".")


def test_deep_values_neither_recurse_nor_end_the_process() -> None:
    """They are read in a thread of a small stack: a call of even 21 bytes for each level would end the process."""
    depth = 50_000
    contents = [
        b"]" * depth + b"a" * (depth - 1) + b".",  # a list in a list in ...
        b"(" * depth + b"t" * depth + b".",
        b"}" + b"(" * depth + b"t" * depth + b"Ns.",  # as a key, which would be hashed
        b"(" * depth + b"t" * depth + b"Q.",  # as an id
        b"ctorch\nSize\n(" + b"(" * depth + b"t" * depth + b"tR.",
        b"cnumpy\ndtype\n(" + b"(" * depth + b"t" * depth + b"I0\nI1\ntR.",
    ]
    script = (
        "import sys, threading; from vadprobe.store.exchange.pickles.torch_files import read_tensors\n"
        "from vadprobe.store.errors import VadprobeError\n"
        "def work():\n"
        "    for content in sys.stdin.buffer.read().split(b'SPLIT'):\n"
        "        try: read_tensors(content); print('read')\n"
        "        except VadprobeError as error: print('refused')\n"
        "threading.stack_size(1 << 20)\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=b"SPLIT".join(contents), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.split() == [b"read", b"read", b"refused", b"refused", b"read", b"refused"]


def test_large_keys_are_refused_since_they_can_be_chosen_to_collide() -> None:
    for key in (b"I%d\n" % (1 << 40), b"F1.5\n", b"N", b"(t", b"I01\n"):
        assert "neither text nor a small whole number" in refusal(b"}" + key + b"Ns.")


def test_archives_that_are_not_torchs_are_refused(trap: Path) -> None:
    def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", compression) as made:
            for name, content in members.items():
                made.writestr(name, content)
        return file.getvalue()

    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV%s\nVcpu\nI2\nNtQ"
    tensor += b"I0\n(I2\nt(I1\ntI00\n}tR."
    values = struct.pack("<2f", 1, 2)
    good = {"a/data.pkl": tensor % b"0", "a/data/0": values}
    assert read_tensors(archive(good)).to_numpy().tolist() == [1, 2]
    big = {**good, "a/byteorder": b"big", "a/data/0": struct.pack(">2f", 1, 2)}
    assert read_tensors(archive(big)).to_numpy().tolist() == [1, 2]
    assert "compressed" in refusal(archive(good, zipfile.ZIP_DEFLATED))
    assert "lacks the storage" in refusal(archive({**good, "a/data.pkl": tensor % b"1"}))
    assert "lacks the storage" in refusal(archive({**good, "a/data.pkl": tensor % b"../../etc/passwd"}))
    assert "more than its" in refusal(archive({**good, "a/data/0": b"abc"}))
    assert "data.pkl" in refusal(archive({"x": b""}))
    assert "data.pkl" in refusal(archive({**good, "b/data.pkl": b"N."}))
    assert "follow the end" in refusal(archive({**good, "a/data.pkl": b"N.x"}))
    assert not trap.exists()


def test_every_prefix_of_a_good_file_is_refused() -> None:
    torch = pytest.importorskip("torch")
    value = {"oproj_inputs": torch.arange(12).reshape(3, 4).bfloat16(), "label": "A", "array": np.arange(3.0)}
    for content in torch_contents(value)[1:]:
        read_tensors(content)
        for length in range(len(content)):
            refusal(content[:length])


def test_whatever_follows_a_good_file_is_refused() -> None:
    torch = pytest.importorskip("torch")
    for content in torch_contents(torch.arange(3.0))[:-2]:
        assert "follow the end" in refusal(content + b"x")


@given(st.data())
@laws(300)
def test_changed_bytes_are_read_or_refused_with_a_sentence(data: st.DataObject) -> None:
    torch = pytest.importorskip("torch")
    contents = torch_contents({"oproj_inputs": torch.arange(12).reshape(3, 4).bfloat16(), "n": np.float32(1), "l": [1]})
    content = bytearray(data.draw(st.sampled_from(contents)))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    read_or_refused(bytes(content))


@given(st.binary(max_size=200))
@laws(500)
def test_noise_is_read_or_refused_with_a_sentence(content: bytes) -> None:
    for start in (b"", b"\x80\x04", b"PK\x03\x04", b"}"):
        read_or_refused(start + content)


def test_odd_escapes_of_a_damaged_file_give_no_warning() -> None:
    assert read_tensors(b"S'a\\o'\n.") == "a\\o"  # the tests make an error of every warning


def test_torch_is_not_imported_and_pickle_in_one_module_alone() -> None:
    script = (
        "import sys; from vadprobe.store.exchange import headhunt_import; import vadprobe.store as f; "
        "assert 'torch' not in sys.modules; from pathlib import Path; "
        "print(*(p.name for p in Path(f.__file__).parent.rglob('*.py') if 'import pickle\\n' in p.read_text()))"
    )
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["restricted_pickle.py"]
