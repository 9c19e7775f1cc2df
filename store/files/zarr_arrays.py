"""Opening the arrays of a store with Zarr."""

from typing import TYPE_CHECKING, Any

from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.remote_path import zarr_store

if TYPE_CHECKING:
    import zarr

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, OSError)
"""Errors that Zarr and its codecs raise on metadata or chunks that were damaged or edited."""


def open_array(store: StorePath, name: str) -> "zarr.Array[Any]":
    """Open an array of a store for reading.

    Raises:
        StoreError: if it is missing, or its metadata cannot be understood.
    """
    import zarr  # noqa: PLC0415 - takes longer to import than most commands take to run

    path = store / name
    place: Any = zarr_store(path) if is_remote(path) else path
    try:
        return zarr.open_array(place, mode="r", zarr_format=3)
    except FileNotFoundError as error:
        raise StoreError(f"the array {name} of {store} is missing; restore the store from a copy.") from error
    except UNREADABLE as error:
        raise StoreError(f"the metadata of {name} of {store} cannot be understood: {error}") from error
