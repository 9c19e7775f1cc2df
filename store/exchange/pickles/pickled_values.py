"""Arrays of numbers in a pickle, described but not yet made.

An array refers to bytes of the file and is checked when it is described. Only `PickledArray.to_numpy` takes memory for
its values.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.text import short

_PLAIN = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")
BYTES_PER_VALUE = {"bfloat16": 2, "bool": 1, **{name: np.dtype(name).itemsize for name in _PLAIN}}
"""Bytes per value, by the dtypes that can be read."""

_MOST_DIMENSIONS = 16


class PickleError(VadprobeError):
    """Error of a pickle that is damaged, or needs more than tensors and plain containers."""


class Word(NamedTuple):
    """Qualified name in a pickle. Nothing of that name is imported."""

    module: str
    attribute: str


Words = Mapping[Word, Callable[[tuple[Any, ...]], Any]]
"""Function for each name that a pickle may call; it makes a value from the tuple of arguments."""


def refused_name(module: str, attribute: str) -> PickleError:
    """Return the error for a name that a pickle may not use."""
    name = short(f"{module}.{attribute}", 80)
    shown = name if name.isprintable() else ascii(name)
    return PickleError(f"the pickle asks for {shown}; only tensors and plain containers are read")


@dataclass(frozen=True, eq=False)
class Storage:
    """Bytes of `count` values of one dtype. `data` may be set after tensors that refer to it were made."""

    dtype: str
    count: int
    data: list[memoryview]
    big_endian: bool = False

    @property
    def n_bytes(self) -> int:
        """Size of the values."""
        return self.count * BYTES_PER_VALUE[self.dtype]

    def __setstate__(self, state: Any) -> None:
        """Refuse a state: a storage is whole when it is made."""
        raise PickleError("the pickle sets the state of a storage; only tensors and plain containers are read")


@dataclass(eq=False)
class PickledArray:
    """Tensor or array: values of a storage by offset, shape and strides; offset and strides are counted in values."""

    storage: Storage | None = None
    offset: int = 0
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    @property
    def dtype(self) -> str:
        """Type of the values as it was stored, for example `bfloat16`."""
        return self._filled().dtype

    @property
    def n_bytes(self) -> int:
        """Size of the values as they were stored."""
        return math.prod(self.shape) * BYTES_PER_VALUE[self.dtype]

    def to_numpy(self) -> np.ndarray:
        """Return the values as a new array in C order; bfloat16 as float32 with the low 16 bits zero.

        Raises:
            PickleError: if the array was never filled.
        """
        storage = self._filled()
        size = BYTES_PER_VALUE[storage.dtype]
        stored = np.dtype("uint16" if storage.dtype == "bfloat16" else storage.dtype)
        order = stored.newbyteorder(">" if storage.big_endian else "<")
        if math.prod(self.shape) == 0:
            values = np.zeros(self.shape, stored)
        else:
            steps = [stride * size for stride in self.strides]
            view: np.ndarray = np.ndarray(self.shape, order, storage.data[0], self.offset * size, steps)
            values = np.array(view, stored, order="C")
        if storage.dtype == "bfloat16":
            return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return values

    def __setstate__(self, state: Any) -> None:
        """Take the state of a NumPy array: version, shape, type, whether in Fortran order, and the bytes."""
        match state:
            case (int(), tuple() as shape, DType() as dtype, bool() as fortran, bytes() as data):
                filled = numpy_array(data, dtype, shape, fortran)
                self.storage, self.offset = filled.storage, filled.offset
                self.shape, self.strides = filled.shape, filled.strides
            case (int(), tuple(), DType(code="O8"), *_):
                raise PickleError("it holds an array of Python objects; only arrays of numbers are read")
            case _:
                raise PickleError("the state of an array is not as NumPy writes it; the file is damaged")

    def _filled(self) -> Storage:
        if self.storage is None or not self.storage.data:
            raise PickleError("an array has no values; the file is damaged")
        return self.storage


@dataclass
class DType:
    """NumPy's description of a dtype: a code such as `f4`, and the byte order."""

    code: str
    big_endian: bool = False

    def __setstate__(self, state: Any) -> None:
        """Take the state of a NumPy dtype, which must have no fields and no parts."""
        match state:
            case (int(), ("<" | ">" | "|" | "=") as order, None, None, None, int(), int(), int()):
                self.big_endian = order == ">"
            case _:
                raise PickleError("it holds an array of records; only arrays of numbers are read")

    @property
    def name(self) -> str:
        """Type of the values, for example `float32`.

        Raises:
            PickleError: if it is no number.
        """
        match = re.fullmatch(r"([fiu])([1248])|b1", self.code)
        if not match or self.code == "f1":
            what = "Python objects" if self.code.startswith("O") else f"type {self.code[:20]!r}"
            raise PickleError(f"it holds an array of {what}; only arrays of numbers are read")
        return np.dtype(self.code).name


def numpy_array(data: bytes | bytearray, dtype: DType, shape: Any, fortran: bool) -> PickledArray:
    """Return an array whose values lie one after another.

    Raises:
        PickleError: if the bytes are not exactly its values.
    """
    name = dtype.name
    sizes = whole_numbers("the shape of an array", shape)
    if math.prod(sizes) * BYTES_PER_VALUE[name] != len(data):
        raise PickleError(f"an array of shape {sizes} and type {name} has {len(data)} bytes; the file is damaged")
    strides, step = [0] * len(sizes), 1
    for axis in range(len(sizes)) if fortran else reversed(range(len(sizes))):
        strides[axis], step = step, step * sizes[axis]
    storage = Storage(name, math.prod(sizes), [memoryview(data)], dtype.big_endian)
    return PickledArray(storage, 0, sizes, tuple(strides))


def tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> PickledArray:
    """Return a tensor that refers to a storage.

    Raises:
        PickleError: if it reaches beyond the storage, or has more values than it. A tensor with strides of 0 repeats
            values at no cost in the file, so a small file could ask for all memory.
    """
    if type(storage) is not Storage:
        raise PickleError("a tensor has no storage; the file is damaged")
    sizes, steps = whole_numbers("the shape of a tensor", shape), whole_numbers("the strides of a tensor", strides)
    (start,) = whole_numbers("the offset of a tensor", (offset,))
    if len(sizes) != len(steps):
        raise PickleError(f"a tensor has {len(sizes)} sizes and {len(steps)} strides; the file is damaged")
    count = math.prod(sizes)
    if count > storage.count:
        raise PickleError(
            f"a tensor of shape {sizes} has {count} values, but its storage holds {storage.count}: more than the file "
            "could hold. Store it with .contiguous() if it is an expanded one"
        )
    last = start + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    if count and last >= storage.count:
        raise PickleError(
            f"a tensor of shape {sizes} reaches value {last} of a storage of {storage.count}; the file is damaged"
        )
    return PickledArray(storage, start, sizes, steps)


def whole_numbers(what: str, values: Any) -> tuple[int, ...]:
    """Check a short tuple or list of whole numbers from 0 and return it as a tuple.

    Raises:
        PickleError: if `values` is anything else; `what` names it in the message.
    """
    if (
        type(values) not in (tuple, list)
        or len(values) > _MOST_DIMENSIONS
        or not all(type(value) is int and 0 <= value < 1 << 48 for value in values)
        or math.prod(max(value, 1) for value in values) >= 1 << 58
    ):
        raise PickleError(f"{what} must be whole numbers from 0; the file is damaged")
    return tuple(values)
