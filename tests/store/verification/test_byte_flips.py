"""Damage anywhere in a store: every changed byte and every cut is found, named and repaired to the same bytes.

The long profile changes 2,000 bytes, the short one 180. `VADPROBE_FAULTS`, the number of kills in
`test_faults`, asks here for 30 bytes each.
"""

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.store.verification.damage import FAILURES
from tests.support.builders import FEATURES, committed_store, tree, write_missing
from tests.support.profiles import LONG
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of, records_of
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.repair import apply, plan_repair
from vadprobe.store.verification.resume_log import log_of
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing.writer import plan

N_POSITIONS = 30 * int(os.environ.get("VADPROBE_FAULTS") or 0) or (2000 if LONG else 180)


def files_of(store):
    """Shards, coordinates, metadata, records and clip tables."""
    folders = (store, records_of(store))
    inside = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return [*inside, *sorted(store.parent.parent.glob("*.parquet"))]


def partition_of(store, path):
    """The partition that a file belongs to; None for what concerns the whole store."""
    if path.parent == records_of(store):
        return int(path.stem)
    parts = path.relative_to(store).parts if path.is_relative_to(store) else ()
    return int(parts[2]) if parts[:1] and parts[0] in FEATURES and parts[1] == "c" else None


def is_named(store, path, problems):
    """Tell whether a problem names the partition that a file belongs to, or the file itself."""
    partition = partition_of(store, path)
    return any(
        problem.partition == partition and (partition is not None or path in problem.files) for problem in problems
    )


def repair(store, found, kept):
    """Repair, restore what only a copy holds, and write again what was reset."""
    todo = plan_repair(found)
    by_hand = {path for problem in todo.by_hand for path in problem.files}
    for path in by_hand:
        path.write_bytes(kept[path])
    apply(todo)
    writer = plan(store, FeatureStore.open(store).spec, ClipTable.read(clips_of(store)))
    assert tuple(write_missing(writer, FAILURES)) == found.redo
    writer.commit()


def clean(store):
    """Bytes of everything but what may stay hidden: locks and logs."""
    return {path: digest for path, digest in tree(store.parents[3]).items() if not Path(path).name.startswith(".")}


def test_every_changed_byte_is_found_named_and_repaired(own):
    store, generator = own, random.Random(20)
    kept = {path: path.read_bytes() for path in files_of(store)}
    before = clean(store)
    sizes = [len(content) for content in kept.values()]
    # Half of the positions by size, which means shards; half by file, so that every kind of file has its share.
    chosen = generator.choices(list(kept), sizes, k=N_POSITIONS // 2)
    chosen += generator.choices(list(kept), k=N_POSITIONS - len(chosen))
    found_as = Counter[str]()
    for number, path in enumerate(chosen):
        content = bytearray(kept[path])
        position = generator.randrange(len(content))
        content[position] ^= generator.randrange(1, 256)
        path.write_bytes(content)
        found = verify(store)
        where = f"{path.relative_to(store.parents[3])} byte {position}"
        assert is_named(store, path, found.problems), (where, found.problems)
        found_as[found.problems[0].remedy] += 1
        if LONG or number % 10 == 0:
            repair(store, found, kept)
            assert clean(store) == before, where
        else:
            path.write_bytes(kept[path])
    assert set(found_as) == {"recompute", "rebuild", "restore"}
    assert verify(store).problems == ()
    print(f"{N_POSITIONS} bytes changed: found {dict(found_as)}")  # noqa: T201


def test_every_cut_is_found_named_and_repaired(own):
    store, kept = own, {path: path.read_bytes() for path in files_of(own)}
    before = clean(store)
    for path, content in kept.items():
        lengths = {0, 1, len(content) // 2, len(content) - 1}
        for length in sorted(lengths if LONG else {0, len(content) - 1}):
            path.write_bytes(content[:length])
            found = verify(store)
            assert is_named(store, path, found.problems), (path, length)
            repair(store, found, kept)
            assert clean(store) == before, (path, length)


def test_every_lost_file_is_found_named_and_repaired(own):
    store, kept = own, {path: path.read_bytes() for path in files_of(own)}
    before = clean(store)
    for path in kept:
        path.unlink()
        found = verify(store)
        assert is_named(store, path, found.problems), path
        repair(store, found, kept)
        assert clean(store) == before, path


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_changed_bytes_of_other_dtypes_are_found(tmp_path, dtype):
    store, generator = committed_store(tmp_path, 3, dtype).path, random.Random(3)
    assert verify(store).problems == ()
    for path in [path for path in files_of(store) if partition_of(store, path) is not None]:
        content = path.read_bytes()
        for _ in range(5):
            changed = bytearray(content)
            changed[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
            path.write_bytes(changed)
            assert is_named(store, path, verify(store).problems)
        path.write_bytes(content)
    assert verify(store).problems == ()
    assert not log_of(store).exists()
