"""Bounds of a pickle, checked over its opcodes before Python's unpickler sees it.

The unpickler allocates as much memory as a file asks for, hashes any key that a file has, and trusts the frames. So all
opcodes are read first, with a stack of kinds in place of values, as `pickletools.dis` does. This scan bounds memory and
time; the names that the unpickler admits decide which code may run.
"""

import io
import pickletools
import struct
from collections.abc import Iterator
from enum import Enum
from typing import Any

from vadprobe.store.exchange.pickles.pickled_values import PickleError, refused_name
from vadprobe.store.files.text import short

MOST_OPCODES = 2_000_000
"""Largest number of opcodes. A tensor takes some tens of them; a file of small objects alone could fill the memory."""
_MOST_BITS = 128  # larger whole numbers serve no purpose here, and their decimal form takes long
_LARGEST_KEY = 1 << 31

_REFUSED = frozenset(
    {"PERSID", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EMPTY_SET", "ADDITEMS", "FROZENSET", "NEXT_BUFFER", "READONLY_BUFFER"}
)
_EXTENSIONS = frozenset({"EXT1", "EXT2", "EXT4"})
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_NAMES = frozenset({"GLOBAL", "STACK_GLOBAL"})
_KEYED = frozenset({"SETITEM", "SETITEMS", "DICT"})
_FIRST_ITEM = {"APPEND": 1, "APPENDS": 1, "SETITEM": 1, "SETITEMS": 1, "LIST": 0, "DICT": 0, "BUILD": 0, "STOP": 0}
"""Opcodes that take values from the stack as items, and the index of the first item among their operands."""


class _Kind(Enum):
    """Kind of a value on the unpickler's stack, known without making the value."""

    MARK = "the beginning of a container's items"
    KEY = "text, or a whole number of less than 32 bits"
    NAME = "a name that can be called"
    VALUE = "any other value"


def check_opcodes(file: io.BytesIO) -> tuple[int, bool]:
    """Check the pickle that begins at the file's position.

    Returns:
        The position behind the pickle's end, and whether a bare name is among its values. The caller refuses such a
        file only after loading it, because only the unpickler knows the name for the message.

    Raises:
        PickleError: if the file is damaged, uses an opcode that no tensor needs, or asks for more memory or time than
            its length allows.
    """
    stack: list[_Kind] = []
    memo: dict[int, _Kind] = {}
    previous = frame_end = 0
    holds_name = False
    for number, (opcode, argument, position) in enumerate(_opcodes(file)):
        name = opcode.name
        # If an argument crosses the end of its frame, the unpickler would drop the frame's rest and read on elsewhere.
        if previous < frame_end < position or (name == "FRAME" and position < frame_end):
            raise PickleError("the pickle's frames cut its values; the file is damaged")
        previous = position
        if name == "FRAME":
            frame_end = file.tell() + argument
        _check_opcode(name, argument)
        if name in _PUTS:
            _remember(stack, memo, len(memo) if name == "MEMOIZE" else argument, number)
            continue
        operands = _take(stack, opcode)
        if name in _FIRST_ITEM:
            items = operands[_FIRST_ITEM[name] :]
            holds_name |= _Kind.NAME in items
            if name in _KEYED:
                _check_keys(items)
        if name in _GETS:
            if argument not in memo:
                raise PickleError("the pickle recalls a value that it never had; the file is damaged")
            stack.append(memo[argument])
        elif name == "DUP":
            stack += operands * 2
        elif opcode.stack_after:
            stack.append(_kind(name, argument))
        if name == "STOP":
            if stack:
                raise PickleError("the pickle leaves more than one value; the file is damaged")
            return file.tell(), holds_name
    raise PickleError("the pickle has no end; the file is damaged")


def _opcodes(file: io.BytesIO) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int]]:
    """Yield (opcode, argument, position); an argument that the file does not hold is an error."""
    try:
        for number, (opcode, argument, position) in enumerate(pickletools.genops(file)):
            if number >= MOST_OPCODES:
                raise PickleError(f"the pickle has more than {MOST_OPCODES} opcodes, which features never need")
            yield opcode, argument, position or 0
    except (ValueError, struct.error, OverflowError, SyntaxError) as error:
        if isinstance(error, PickleError):
            raise
        raise PickleError(f"it is not a pickle, or it is damaged ({short(str(error))})") from error


def _check_opcode(name: str, argument: Any) -> None:
    if name == "INST":
        raise refused_name(*argument.split(" ", 1))
    if name in _EXTENSIONS:
        raise PickleError("the pickle asks for the extension registry; only tensors and plain containers are read")
    if name in _REFUSED:
        raise PickleError(f"the pickle uses {name}, which no tensor and no plain container needs")
    if type(argument) is int and name != "FRAME" and argument.bit_length() > _MOST_BITS:
        raise PickleError("the pickle holds a whole number of more than 128 bits, which features never need")


def _remember(stack: list[_Kind], memo: dict[int, _Kind], index: int, n_opcodes: int) -> None:
    # The unpickler's memo is an array as long as the largest index; writers count from 0.
    if not stack or stack[-1] is _Kind.MARK or not 0 <= index <= n_opcodes:
        raise PickleError("the pickle remembers a value that is not there; the file is damaged")
    memo[index] = stack[-1]


def _take(stack: list[_Kind], opcode: pickletools.OpcodeInfo) -> list[_Kind]:
    """Pop an opcode's operands: those below the last mark come first, those above it last."""
    items: list[_Kind] = []
    count = len(opcode.stack_before)
    if opcode.name == "POP" and stack and stack[-1] is _Kind.MARK:
        return [stack.pop()]
    if pickletools.markobject in opcode.stack_before:
        while stack and stack[-1] is not _Kind.MARK:
            items.append(stack.pop())
        if not stack:
            raise PickleError("the pickle closes a container that it did not open; the file is damaged")
        stack.pop()
        count = opcode.stack_before.index(pickletools.markobject)
    operands = stack[len(stack) - count :]
    if len(stack) < count or _Kind.MARK in operands:
        raise PickleError("the pickle takes a value that is not there; the file is damaged")
    del stack[len(stack) - count :]
    return operands + items[::-1]


def _check_keys(items: list[_Kind]) -> None:
    if len(items) % 2:
        raise PickleError("the pickle has a key without a value; the file is damaged")
    # Hashing a deeply nested tuple would crash the process, and large numbers can be chosen so that hashes collide.
    if any(kind is not _Kind.KEY for kind in items[::2]):
        raise PickleError("a dictionary has a key that is neither text nor a small whole number")


def _kind(name: str, argument: Any) -> _Kind:
    """Return the kind of the value that an opcode with one result pushes."""
    if name == "MARK":
        return _Kind.MARK
    if name in _NAMES:
        return _Kind.NAME
    is_small = type(argument) is int and abs(argument) < _LARGEST_KEY
    return _Kind.KEY if is_small or type(argument) is str else _Kind.VALUE
