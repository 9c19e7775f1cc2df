"""Stores that a process keeps open, so that its tasks do not open them again.

Opening reads the clip table and the record of every partition, thousands of files in a large store.
"""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from weakref import WeakValueDictionary

from vadprobe.store.errors import StoreError
from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.reading.feature_store import FeatureStore

_MOST = 8  # open stores per process: the prompts of one analysis; each takes 100 MB for a million clips
_LOCK = Lock()
_given: "WeakValueDictionary[StoreState, FeatureStore]" = WeakValueDictionary()
_kept: "OrderedDict[StoreState, FeatureStore]" = OrderedDict()


@dataclass(frozen=True)
class StoreState:
    """State of a store: its path, the digest of its specification, and the digest of its partitions' records.

    It is small, so that tasks carry it to workers in place of the store.
    """

    path: StorePath
    specification: str
    records: str


def state_of(store: FeatureStore) -> StoreState:
    """Return the state of an open store; while the store lives, `opened` returns it again in this process."""
    state = _state(store)
    with _LOCK:
        _given[state] = store
    return state


def opened(state: StoreState) -> FeatureStore:
    """Return the store of a state, opened once in each process.

    Raises:
        StoreError: if it cannot be opened, or its state has changed.
    """
    with _LOCK:
        store = _given.get(state, _kept.get(state))
        if store is None:
            store = FeatureStore.open(state.path)
            if _state(store) != state:
                raise StoreError(
                    f"{state.path} was changed while it was being analysed, or another store lies there on this "
                    "machine. Let the extraction finish, then run the command again."
                )
            _kept[state] = store
            while len(_kept) > _MOST:
                _kept.popitem(last=False)
        elif state in _kept:
            _kept.move_to_end(state)
        return store


def _state(store: FeatureStore) -> StoreState:
    records = {str(number): record["digest"] for number, record in store.records.items()}
    return StoreState(store.path, store.spec.digest, digest_json(records))
