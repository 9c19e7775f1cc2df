"""Reading files of torch and plain pickles of tensors without torch."""

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from vadprobe.store.exchange.pickles.constructors import STORAGE_TYPES, wrong
from vadprobe.store.exchange.pickles.pickled_values import BYTES_PER_VALUE, PickleError, Storage, Word, whole_numbers
from vadprobe.store.exchange.pickles.restricted_pickle import read_pickle
from vadprobe.store.files.text import short

_LOAD_FROM_BYTES = Word("torch.storage", "_load_from_bytes")
_MAGIC = 0x1950A86A20F9469CFC6C  # torch's files before 1.6, and every storage inside of a plain pickle
_MAGIC_PICKLE = b"\x80\x02\x8a\x0a" + _MAGIC.to_bytes(10, "little") + b"."
_PROTOCOL = 1001
_MOST_MEMBERS = 100_000


def read_tensors(content: bytes) -> Any:
    """Read the value of a file that `torch.save` (both formats) or `pickle.dump` wrote.

    Returns:
        The value, as `read_pickle` returns it. Its arrays refer to `content`.

    Raises:
        PickleError: if the file is damaged, or needs anything but tensors, arrays and plain containers; nothing in it
            was run, and the message does not name it.
    """
    if content.startswith(b"PK\x03\x04"):
        return _read_zip(content)
    if content.startswith(_MAGIC_PICKLE):
        return _read_legacy(content)
    file = io.BytesIO(content)
    value = read_pickle(file, {_LOAD_FROM_BYTES: _load_from_bytes})
    _check_end(file, content)
    return value


def _load_from_bytes(arguments: tuple[Any, ...]) -> Storage:
    """Return the storage of a plain pickle, from the bytes of a file of torch, which may not contain a further one."""
    match arguments:
        case ((bytes() | bytearray()) as content,) if content.startswith(_MAGIC_PICKLE):
            value = _read_legacy(bytes(content))
            if type(value) is Storage:
                return value
    raise wrong(_LOAD_FROM_BYTES)


def _check_end(file: io.BytesIO, content: bytes) -> None:
    if file.tell() != len(content):
        raise PickleError(f"{len(content) - file.tell()} bytes follow the end of the pickle; the file is damaged")


def _read_legacy(content: bytes) -> Any:
    """Read four pickles (a mark, a version, the machine, the value), the keys of the storages, and their bytes."""
    file = io.BytesIO(content)
    if read_pickle(file, {}) != _MAGIC or read_pickle(file, {}) != _PROTOCOL:
        raise PickleError("it is a file of torch of another version; store it again with torch.save")
    match read_pickle(file, {}):
        case {"little_endian": True}:
            pass
        case _:
            raise PickleError("it was written on a big-endian machine; store it again with torch.save")
    storages: dict[str, Storage] = {}

    def make(key: str, dtype: str, count: int) -> Storage:
        if count * BYTES_PER_VALUE[dtype] > len(content):
            raise _too_large(count, dtype, len(content))
        return storages.setdefault(key, Storage(dtype, count, []))

    value = read_pickle(file, {}, _persistent(storages, make))
    keys = read_pickle(file, {})
    if type(keys) is not list or not all(type(key) is str for key in keys) or sorted(keys) != sorted(storages):
        raise PickleError("its list of storages is not that of its tensors; the file is damaged")
    for key in keys:
        storage = storages[key]
        (count,) = struct.unpack("<q", file.read(8).ljust(8, b"\xff"))
        start = file.tell()
        data = memoryview(content)[start : start + storage.n_bytes]
        if count != storage.count or len(data) != storage.n_bytes:
            raise PickleError("the bytes of a storage are not all there; the file is damaged")
        storage.data.append(data)
        file.seek(start + storage.n_bytes)
    _check_end(file, content)
    return value


def _read_zip(content: bytes) -> Any:
    """Read an uncompressed archive of a pickle and one member for each storage."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read_members(archive, len(content))
    except PickleError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, ValueError, KeyError, struct.error) as error:
        raise PickleError(f"it is not an archive of torch, or it is damaged ({short(str(error))})") from error


def _read_members(archive: zipfile.ZipFile, n_bytes: int) -> Any:
    members = {member.filename: member for member in archive.infolist()}
    pickles = [name for name in members if name.endswith("/data.pkl")]
    if len(pickles) != 1 or len(members) > _MOST_MEMBERS:
        raise PickleError("it is an archive, but not one of torch: it must have exactly one 'data.pkl'")
    folder = pickles[0].removesuffix("data.pkl")
    # An archive can name the same bytes many times, or unpack to more than it is.
    if sum(member.file_size for member in members.values()) > n_bytes or any(
        member.compress_type != zipfile.ZIP_STORED for member in members.values()
    ):
        raise PickleError(f"its members are compressed, or larger than its {n_bytes} bytes, which torch's never are")
    order = archive.read(folder + "byteorder") if folder + "byteorder" in members else b"little"
    storages: dict[str, Storage] = {}

    def make(key: str, dtype: str, count: int) -> Storage:
        if key not in storages:
            name = f"{folder}data/{key}"
            if name not in members:
                raise PickleError(f"the archive lacks the storage {key[:20]!r}; the file is damaged")
            data = memoryview(archive.read(name))
            if count * BYTES_PER_VALUE[dtype] > len(data):
                raise _too_large(count, dtype, len(data))
            storages[key] = Storage(dtype, count, [data], order == b"big")
        return storages[key]

    file = io.BytesIO(archive.read(pickles[0]))
    value = read_pickle(file, {}, _persistent(storages, make))
    _check_end(file, file.getvalue())
    return value


def _persistent(storages: dict[str, Storage], make: Callable[[str, str, int], Storage]) -> Callable[[Any], Storage]:
    """Return a function that finds or makes the storage of a persistent id, (key, type, number of values)."""

    def storage(found: Any) -> Storage:
        match found:
            case ("storage", Word() as word, str() as key, str(), int() as count, *view) if word in STORAGE_TYPES:
                (count,) = whole_numbers("the size of a storage", (count,))
                if view not in ([], [None]):
                    raise PickleError("it holds views of storages, as torch before 0.4 stored them")
                made = make(key, STORAGE_TYPES[word], count)
                if (made.dtype, made.count) != (STORAGE_TYPES[word], count):
                    raise PickleError("a storage is described in two ways; the file is damaged")
                return made
        raise PickleError("the pickle refers to an object outside of it that is not a storage of torch")

    return storage


def _too_large(count: int, dtype: str, n_bytes: int) -> PickleError:
    return PickleError(f"it asks for a storage of {count} values of {dtype}, more than its {n_bytes} bytes could hold")
