"""Pickles read as data: tensors, NumPy arrays and plain containers, and nothing that runs.

Python's own unpickler calls whatever a file names. This one is a small machine over the same opcodes in which a name is
only a word: a fixed table says which few words mean an array or a container, and any other refuses the file. Nothing is
imported, no method of a value is called, and memory is bounded by the size of the file.
"""

import io
import pickletools
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vadprobe.store.errors import VadprobeError
from vadprobe.store.exchange.pickles.constructors import CONSTRUCTORS, COSTLY, INERT
from vadprobe.store.exchange.pickles.pickled_values import Buildable, PickledArray, PickleError, Word, Words

MOST_OPCODES = 2_000_000
"""A pickle of tensors has some tens of opcodes for each; a file of small objects alone could fill the memory."""
_MOST_BITS = 128  # larger whole numbers serve no purpose here, and their decimal form takes long
_LARGEST_KEY = 1 << 31

Persistent = Callable[[Any], Any]


def read_pickle(file: io.BytesIO, words: Words, persistent: Persistent | None = None) -> Any:
    """The value of the pickle that begins at the file's position, which is left behind its end.

    Args:
        file: the bytes.
        words: what the admitted names mean beside ``CONSTRUCTORS``.
        persistent: gives the value of a persistent id, which torch uses for storages; None refuses all.

    Returns:
        Dictionaries, lists, tuples, text, bytes, numbers, None and
        ``PickledArray``.

    Raises:
        PickleError: a sentence without the file's name, if it is damaged or asks for anything else.
    """
    machine = _Machine({**CONSTRUCTORS, **words}, persistent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python, on odd escapes in a damaged file
        for opcode, argument in _opcodes(file):
            if opcode == "STOP":
                return machine.result()
            machine.step(opcode, argument)
    raise PickleError("the pickle has no end; the file is damaged")


def _opcodes(file: io.BytesIO) -> Iterator[tuple[str, Any]]:
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if number >= MOST_OPCODES:
                raise PickleError(f"the pickle has more than {MOST_OPCODES} opcodes; it is not one of features")
            yield opcode.name, argument
    except (ValueError, struct.error, OverflowError, SyntaxError) as error:
        if isinstance(error, VadprobeError):
            raise
        raise PickleError(f"it is no pickle, or it is damaged ({_first_words(error)})") from error


def _first_words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 100 else text[:99] + "…"


class _Mark:
    """Where a container's items begin on the stack."""


_MARK = _Mark()
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_IGNORED = frozenset({"PROTO", "FRAME"})
_NUMBERS = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"})
_VALUES = frozenset(
    {"FLOAT", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING"}
    | {"SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)
_EXTENSIONS = frozenset({"EXT1", "EXT2", "EXT4"})


@dataclass
class _Machine:
    """The stack and the memo of one pickle."""

    words: Words
    persistent: Persistent | None
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    made: dict[tuple[Word, int], tuple[Any, Any]] = field(default_factory=dict)

    def step(self, opcode: str, argument: Any) -> None:
        """Carry out one opcode."""
        if opcode in _IGNORED:
            return
        if opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode]())
        elif opcode in _VALUES:
            self.stack.append(argument)
        elif opcode in _NUMBERS:
            self.stack.append(_number(argument))
        else:
            handler = getattr(self, f"op_{opcode.lower()}", None)
            if handler is None:
                raise _refused_opcode(opcode)
            handler(argument)

    def result(self) -> Any:
        """The one value that is left at the end."""
        value = self._pop()
        if self.stack:
            raise PickleError("the pickle leaves more than one value; the file is damaged")
        return _plain(value)

    def _pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise PickleError("the pickle takes a value that is not there; the file is damaged")
        return self.stack.pop()

    def _top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise PickleError(
                f"the pickle adds to something that is no {kind.__name__}; only plain containers are read"
            )
        return self.stack[-1]

    def _pop_items(self) -> list[Any]:
        """The values above the last mark, which is taken off as well."""
        for position in range(len(self.stack) - 1, -1, -1):
            if self.stack[position] is _MARK:
                items = self.stack[position + 1 :]
                del self.stack[position:]
                return items
        raise PickleError("the pickle closes a container that it did not open; the file is damaged")

    def _pop_plain(self) -> Any:
        return _plain(self._pop())

    # Containers.

    def op_append(self, _: Any) -> None:
        value = self._pop_plain()
        self._top(list).append(value)

    def op_appends(self, _: Any) -> None:
        items = self._pop_items()
        self._top(list).extend(_plain(item) for item in items)

    def op_setitem(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def op_setitems(self, _: Any) -> None:
        self._set(self._pop_items())

    def _set(self, items: Sequence[Any]) -> None:
        target = self._top(dict)
        if len(items) % 2:
            raise PickleError("the pickle has a key without a value; the file is damaged")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a deep tuple would end the process, and hashes of chosen large numbers collide.
            if type(key) is not str and not (type(key) is int and abs(key) < _LARGEST_KEY):
                raise PickleError("a dictionary has a key that is neither text nor a small whole number")
            target[key] = _plain(value)

    def op_list(self, _: Any) -> None:
        self.stack.append([_plain(item) for item in self._pop_items()])

    def op_dict(self, _: Any) -> None:
        items = self._pop_items()
        self.stack.append({})
        self._set(items)

    def op_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._pop_items()))

    def op_tuple1(self, _: Any) -> None:
        self.stack.append((self._pop(),))

    def op_tuple2(self, _: Any) -> None:
        second, first = self._pop(), self._pop()
        self.stack.append((first, second))

    def op_tuple3(self, _: Any) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self.stack.append((first, second, third))

    # The stack and the memo.

    def op_pop(self, _: Any) -> None:
        if not self.stack:
            raise PickleError("the pickle takes a value that is not there; the file is damaged")
        self.stack.pop()

    def op_pop_mark(self, _: Any) -> None:
        self._pop_items()

    def op_dup(self, _: Any) -> None:
        value = self._pop()
        self.stack += [value, value]

    def op_put(self, number: int) -> None:
        if not self.stack or self.stack[-1] is _MARK:
            raise PickleError("the pickle remembers a value that is not there; the file is damaged")
        self.memo[number] = self.stack[-1]

    op_binput = op_long_binput = op_put

    def op_memoize(self, _: Any) -> None:
        self.op_put(len(self.memo))

    def op_get(self, number: int) -> None:
        if number not in self.memo:
            raise PickleError("the pickle recalls a value that it never had; the file is damaged")
        self.stack.append(self.memo[number])

    op_binget = op_long_binget = op_get

    # Names, and what is made of them.

    def op_global(self, name: str) -> None:
        module, _, attribute = name.partition(" ")
        self.stack.append(self._word(module, attribute))

    def op_stack_global(self, _: Any) -> None:
        attribute, module = self._pop(), self._pop()
        if type(module) is not str or type(attribute) is not str:
            raise PickleError("the pickle asks for a name that is no text; the file is damaged")
        self.stack.append(self._word(module, attribute))

    def _word(self, module: str, attribute: str) -> Word:
        word = Word(module, attribute)
        if word not in self.words and word not in INERT:
            raise refused(module, attribute)
        return word

    def op_inst(self, name: str) -> None:
        module, _, attribute = name.partition(" ")
        raise refused(module, attribute)

    def op_reduce(self, _: Any) -> None:
        arguments, word = self._pop(), self._pop()
        if type(word) is not Word or word not in self.words or type(arguments) is not tuple:
            raise PickleError(f"the pickle calls {_name(word)}; only tensors and plain containers are read")
        if word in COSTLY and arguments:
            key = (word, id(arguments[0]))
            if key not in self.made:
                self.made[key] = (arguments, self.words[word](arguments))  # kept, so that no other gets its id
            self.stack.append(self.made[key][1])
        else:
            self.stack.append(self.words[word](arguments))

    def op_build(self, _: Any) -> None:
        state = self._pop()
        if not self.stack or not isinstance(self.stack[-1], Buildable):
            what = _name(self.stack[-1]) if self.stack else "nothing"
            raise PickleError(f"the pickle sets the state of {what}; only tensors and plain containers are read")
        self.stack[-1].build(state)

    def op_binpersid(self, _: Any) -> None:
        if self.persistent is None:
            raise PickleError("the pickle refers to an object outside of it; only torch's storages are read")
        self.stack.append(self.persistent(self._pop()))


def refused(module: str, attribute: str) -> PickleError:
    """The error of a name that is not admitted."""
    name = f"{module}.{attribute}"
    shown = name if len(name) <= 80 else name[:79] + "…"
    return PickleError(f"the pickle asks for {_printable(shown)}; only tensors and plain containers are read")


def _refused_opcode(opcode: str) -> PickleError:
    if opcode in _EXTENSIONS:
        return PickleError("the pickle asks for the extension registry; only tensors and plain containers are read")
    return PickleError(f"the pickle uses {opcode}, which no tensor and no plain container needs")


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)


def _number(value: Any) -> int | bool:
    if type(value) is bool or (type(value) is int and value.bit_length() <= _MOST_BITS):
        return value
    raise PickleError("the pickle holds a whole number of more than 128 bits; it is not one of features")


def _plain(value: Any) -> Any:
    """A value that may stand in a container or be the result."""
    if type(value) is Word:
        raise refused(*value)
    if value is _MARK:
        raise PickleError("the pickle takes a value that is not there; the file is damaged")
    return value


def _name(value: Any) -> str:
    if type(value) is Word:
        return f"{_printable(value.module)}.{_printable(value.attribute)}"
    return "an array" if isinstance(value, PickledArray) else f"a value of type {type(value).__name__}"
