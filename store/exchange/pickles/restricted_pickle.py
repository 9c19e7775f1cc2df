"""Pickles read as data: tensors, NumPy arrays and plain containers, and nothing that runs.

Python's unpickler imports and calls any function that a file names, unless `find_class` is replaced. Here `find_class`
returns a function of this project for the few names of arrays and containers, and refuses every other name. So nothing
is imported, and no object of the file has methods of its own. `check_opcodes` bounds the memory before that.
"""

import io
import pickle
import warnings
from collections.abc import Callable
from typing import Any

from vadprobe.store.exchange.pickles.constructors import CONSTRUCTORS, COSTLY, INERT
from vadprobe.store.exchange.pickles.opcode_scan import check_opcodes
from vadprobe.store.exchange.pickles.pickled_values import PickleError, Word, Words, refused_name
from vadprobe.store.files.text import short

Persistent = Callable[[Any], Any]

_DAMAGED = (
    *(pickle.UnpicklingError, EOFError, AttributeError, LookupError, TypeError, ValueError),
    *(ArithmeticError, BufferError, RecursionError),
)
"""Errors that Python raises if a value is not of the kind that an opcode needs."""
_MOST_TEXT = 1 << 24
"""Largest total number of characters of NumPy's strings in one file; each use of a string decodes it anew."""


def read_pickle(file: io.BytesIO, words: Words, persistent: Persistent | None = None) -> Any:
    """Read the pickle that begins at the file's position, and set the position behind its end.

    Args:
        file: the bytes.
        words: functions for further names that are admitted besides `CONSTRUCTORS`.
        persistent: returns the value of a persistent id, by which torch refers to storages; None refuses all.

    Returns:
        Dictionaries, lists, tuples, text, bytes, numbers, None and `PickledArray`.

    Raises:
        PickleError: if the file is damaged or needs anything else; the message does not name the file.
    """
    start = file.tell()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python, on odd escapes in a damaged file
        end, holds_name = check_opcodes(file)
        file.seek(start)
        try:
            value = _Unpickler(file, {**CONSTRUCTORS, **words}, persistent).load()
        except PickleError:
            raise
        except _DAMAGED as error:
            raise PickleError(f"it is not a pickle of tensors, or it is damaged ({short(str(error))})") from error
    if holds_name:
        raise PickleError("the pickle holds a name in place of a value; only tensors and plain containers are read")
    file.seek(end)
    return value


class _Unpickler(pickle.Unpickler):
    """Python's unpickler with a closed table of names."""

    def __init__(self, file: io.BytesIO, words: Words, persistent: Persistent | None) -> None:
        super().__init__(file, encoding="latin1")
        self._words, self._persistent = words, persistent
        self._made: dict[tuple[Word, int], tuple[Any, Any]] = {}
        self._n_text = 0

    def find_class(self, module: str, name: str) -> Any:
        """Return the function of an admitted name; for a name in `INERT`, the name itself."""
        word = Word(module, name)
        if word in self._words:
            return lambda *arguments: self._make(word, arguments)
        if word in INERT:
            return word
        raise refused_name(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage of one of torch's persistent ids."""
        if self._persistent is None:
            raise PickleError("the pickle refers to an object outside of it; only torch's storages are read")
        return self._persistent(pid)

    def _make(self, word: Word, arguments: tuple[Any, ...]) -> Any:
        if word not in COSTLY or not arguments:
            value = self._words[word](arguments)
            self._n_text += len(value) if isinstance(value, str) else 0
            if self._n_text > _MOST_TEXT:
                raise PickleError("it holds more text of NumPy than features can have")
            return value
        key = (word, id(arguments[0]))
        if key not in self._made:
            self._made[key] = (arguments, self._words[word](arguments))  # arguments are kept: no other gets their id
        return self._made[key][1]
