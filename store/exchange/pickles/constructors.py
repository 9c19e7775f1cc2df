"""Table of the few names that a pickle of tensors and containers may use, each with the function that makes its value.

These are the names under which old and new versions of torch and NumPy pickle their values. Each function gets the
tuple of arguments in the file and trusts none of them.
"""

from typing import Any

import numpy as np

from vadprobe.store.exchange.pickles.pickled_values import DType, PickledArray, PickleError, Word, numpy_array, tensor

STORAGE_TYPES = {
    Word(module, f"{name}Storage"): dtype
    for module in ("torch", "torch.cuda")
    for name, dtype in {
        "Double": "float64",
        "Float": "float32",
        "Half": "float16",
        "BFloat16": "bfloat16",
        "Long": "int64",
        "Int": "int32",
        "Short": "int16",
        "Char": "int8",
        "Byte": "uint8",
        "Bool": "bool",
    }.items()
}
"""Dtype of each of torch's storage types, by name; only persistent ids use these names."""

_ARRAY_TYPE = Word("numpy", "ndarray")
INERT = frozenset({*STORAGE_TYPES, _ARRAY_TYPE})
"""Names that a pickle may use as arguments but may not call."""

_MOST_TEXT_BYTES = 4096


def wrong(word: Word) -> PickleError:
    """Return the error for a name that is called with arguments that torch and NumPy never give it."""
    return PickleError(f"{word.module}.{word.attribute} is called with arguments it never has; the file is damaged")


def _tensor(arguments: tuple[Any, ...]) -> PickledArray:
    match arguments:
        case (storage, offset, shape, strides):
            return tensor(storage, offset, shape, strides)
        case (storage, offset, shape, strides, _, {}):
            return tensor(storage, offset, shape, strides)
        case (storage, offset, shape, strides, _, {}, metadata) if not metadata:
            return tensor(storage, offset, shape, strides)
    raise wrong(Word("torch._utils", "_rebuild_tensor_v2"))


def _parameter(arguments: tuple[Any, ...]) -> PickledArray:
    match arguments:
        case (PickledArray() as found, _, {}):
            return found
    raise wrong(Word("torch._utils", "_rebuild_parameter"))


def _size(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    match arguments:
        case (tuple() as sizes,):
            return sizes
    raise wrong(Word("torch", "Size"))


def _ordered_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if arguments:
        raise wrong(Word("collections", "OrderedDict"))
    return {}


def _encoded(arguments: tuple[Any, ...]) -> bytes:
    """Return bytes from the text as which older pickle protocols store them."""
    match arguments:
        case (str() as text, "latin1"):
            try:
                return text.encode("latin1")
            except UnicodeEncodeError as error:
                raise PickleError(
                    "bytes are stored as text that does not stand for bytes; the file is damaged"
                ) from error
    raise wrong(Word("_codecs", "encode"))


def _bytes(arguments: tuple[Any, ...]) -> bytes:
    if arguments:
        raise wrong(Word("builtins", "bytes"))
    return b""


def _reconstruct(arguments: tuple[Any, ...]) -> PickledArray:
    match arguments:
        case (word, (0,), b"b") if word == _ARRAY_TYPE:
            return PickledArray()
    raise wrong(Word("numpy.core.multiarray", "_reconstruct"))


def _from_buffer(arguments: tuple[Any, ...]) -> PickledArray:
    match arguments:
        case ((bytes() | bytearray()) as data, DType() as dtype, tuple() as shape, ("C" | "F") as order):
            return numpy_array(data, dtype, shape, order == "F")
    raise wrong(Word("numpy.core.numeric", "_frombuffer"))


def _dtype(arguments: tuple[Any, ...]) -> DType:
    match arguments:
        case (str() as code, bool() | int(), bool() | int()):
            return DType(code)
    raise wrong(Word("numpy", "dtype"))


def _scalar(arguments: tuple[Any, ...]) -> Any:
    match arguments:
        case (DType(code=code, big_endian=big), bytes() as data) if code.startswith("U"):
            if len(data) > _MOST_TEXT_BYTES:  # it is decoded anew at each call
                raise PickleError("it holds a text of NumPy of more than 1024 characters, which features never need")
            try:
                return data.decode("utf-32-be" if big else "utf-32-le").rstrip("\0")
            except UnicodeDecodeError as error:
                raise PickleError("a text of NumPy is not valid; the file is damaged") from error
        case (DType() as dtype, bytes() as data):
            value: np.ndarray = numpy_array(data, dtype, (), fortran=False).to_numpy()
            return value.item()
    raise wrong(Word("numpy.core.multiarray", "scalar"))


CONSTRUCTORS = {
    Word("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Word("torch._utils", "_rebuild_tensor"): _tensor,
    Word("torch._utils", "_rebuild_parameter"): _parameter,
    Word("torch", "Size"): _size,
    Word("collections", "OrderedDict"): _ordered_dict,
    Word("_codecs", "encode"): _encoded,
    Word("builtins", "bytes"): _bytes,
    Word("__builtin__", "bytes"): _bytes,
    Word("numpy", "dtype"): _dtype,
    **{
        Word(f"numpy.{core}.{module}", name): made
        for core in ("core", "_core")
        for module, name, made in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}
"""Function for each admitted name that a pickle may call."""

COSTLY = frozenset({Word("_codecs", "encode"), Word("torch.storage", "_load_from_bytes")})
"""Names whose result is as large as their argument; calls with the same argument share one result."""
