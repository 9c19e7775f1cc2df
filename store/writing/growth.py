"""Growing a store: clips of new videos are appended behind those that are there, and only these are computed.

A row keeps its number. Full partitions keep their shards; a last partition that was partly filled is computed again.
Growing has three steps, each done whole or not at all:

1. The clip table is extended. Stores of other backbones and prompts go on reading the rows that were theirs.
2. The records of full partitions are rewritten so that they are valid for the store before and after.
3. Metadata and coordinates are rewritten. The header comes last, and with it the store has its new specification.

If the process ends between two steps, the store is still the one before, and the next plan goes on from there. The
first commit makes the records name the grown store alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import write_json
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.locks import sole_planner
from vadprobe.store.files.text import counted, first_few
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of
from vadprobe.store.format.partition_records import (
    grown_record,
    names_in,
    read_record,
    record_matcher,
    record_path,
    settled_record,
)
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.store_header import StoreHeader
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.writing.store_changes import write_group


def grow(path: StorePath, spec: FeatureSpec, clips: ClipTable, contents: StoredParts) -> None:
    """Extend a store, and the clip table beside it, by the clips that `clips` has beyond the store's own.

    Without new clips nothing is done. Any number of planners may call this, be killed, and call it again.

    Raises:
        StoreError: if anything but appended clips would change, another worker writes there, or the place is a URL.
    """
    table = clips_of(path)
    stored = ClipTable.read(table) if table.exists() else clips
    header = StoreHeader.read(path).check_digest() if path.exists() else None
    if header is not None and header.spec.n_clips < len(clips):
        _kept_partitions(header, spec, clips, contents)
    elif len(stored) >= len(clips):
        return
    if is_remote(path):
        raise StoreError(
            f"no clips can be appended to {path}, which is at a URL: append in a folder, and push "
            'that to another place; or leave the new videos out (new_videos = "later" in [extraction]).'
        )
    _check_idle(path)
    with sole_planner(table.parent):
        stored = ClipTable.read(table) if table.exists() else clips
        if len(stored) < len(clips):  # else another process appended as many or more; the plan that follows compares
            if not clips.begins_with(stored):
                raise other_clips(table, stored, clips)
            clips.write(table)
    if header is None:
        return
    with sole_planner(path.parent):
        header = StoreHeader.read(path).check_digest()  # another process may have appended them in between
        if header.spec.n_clips >= len(clips):
            return
        _check_idle(path)
        for partition in _kept_partitions(header, spec, clips, contents):
            with claims_in(path.parent).hold(partition):
                _keep(header, partition, spec, contents)
        write_group(path, spec, clips, contents)


def settle(store: StorePath, partitions: Iterable[int]) -> None:
    """Rewrite records of `grown_record` so that they name the grown store alone; the caller is the sole planner."""
    for partition in partitions:
        record = read_record(store, partition)
        if record is None or "grown" not in record:
            continue
        with claims_in(store.parent).hold(partition) as claim:
            record = read_record(store, partition)  # whoever held it before may have written it anew
            if record is not None and "grown" in record:
                claim.check()
                write_json(record_path(store, partition), settled_record(record))


def writers_at(folder: StorePath) -> list[str]:
    """Return who holds a partition below a backbone's folder, in words."""
    claims = claims_in(folder)
    return [holder for partition in claims.entries() if (holder := claims.holder(partition)) is not None]


def other_clips(path: StorePath, stored: ClipTable, clips: ClipTable) -> StoreError:
    """Return the error for clips that differ from a stored clip table; it names the differences."""
    before, now = (dict(zip(one.video_ids, one.fingerprints, strict=True)) for one in (stored, clips))
    found = {
        "added": [name for name in now if name not in before],
        "gone": [name for name in before if name not in now],
        "changed": [name for name in before if now.get(name, before[name]) != before[name]],
    }
    named = "; ".join(f"{word}: {first_few(names)}" for word, names in found.items() if names)
    only_new = found["added"] and not found["gone"] and not found["changed"]
    remedy = "restore the videos" if not only_new else 'append the new videos: new_videos = "append" in [extraction]'
    if not is_remote(path) and not any(path.parent.glob("*/*.records/*.json")):
        remedy = f"remove {path.parent}, where nothing has been computed yet, and plan again"
    return StoreError(
        f"{path} holds another clip table ({len(stored)} clips of {len(stored.video_ids)} videos, "
        f"digest {stored.digest[:12]}; now {len(clips)} clips of {len(clips.video_ids)} videos, "
        f"digest {clips.digest[:12]}): videos were added, removed or re-encoded since. Nothing was changed. "
        f"Use another dataset name or root, or {remedy}.{f' ({named})' if named else ''}"
    )


def other_specification(path: StorePath, differences: Sequence[str]) -> StoreError:
    """Return the error for a store at `path` with another specification."""
    return StoreError(
        f"{path} already holds a store of another specification: "
        + "; ".join(differences)
        + ". Nothing was changed. Give the backbone another key, use another root, or remove that store."
    )


def _kept_partitions(header: StoreHeader, spec: FeatureSpec, clips: ClipTable, contents: StoredParts) -> range:
    """Return the partitions that stay as they are when a store grows.

    Raises:
        StoreError: if specification, contents or stored clips would differ in more than the appended clips.
    """
    before = header.spec
    same_size = replace(spec, n_clips=before.n_clips, clips_digest=before.clips_digest)
    differences = before.differences(same_size)
    if differences:
        raise other_specification(header.path, differences)
    if clips.first(before.n_clips).digest != before.clips_digest:
        raise other_clips(clips_of(header.path), header.read_clips(), clips)
    held = header.contents
    kept = range(before.n_clips // held.partition_rows)
    if (held.partition_rows, held.partitions) != (contents.partition_rows, contents.partitions) or not all(
        np.array_equal(held.mask(array, partition), contents.mask(array, partition))
        for partition in kept
        for array in contents.arrays(spec)
    ):
        raise other_specification(header.path, held.differences(contents))
    return kept


def _check_idle(path: StorePath) -> None:
    """Refuse while partitions of the store, or of another prompt beside it, are being computed."""
    busy = writers_at(path.parent)
    if busy:
        raise StoreError(
            f"clips are to be appended to {path}, but {counted(len(busy), 'partition')} below {path.parent} "
            f"{'is' if len(busy) == 1 else 'are'} being written ({first_few(busy)}); run again when that has ended."
        )


def _keep(header: StoreHeader, partition: int, spec: FeatureSpec, contents: StoredParts) -> None:
    """Make a partition's record valid for the grown store too, if it is valid for the store as it is."""
    try:
        record = read_record(header.path, partition)
    except StoreError:  # damaged: it does not count, and is computed again
        return
    if record is None or not record_matcher(header.spec, header.contents)(record):
        return
    if names_in(record, header.spec.digest) is not record:  # of a growth before, which was not committed
        record = settled_record(record)
    write_json(record_path(header.path, partition), grown_record(record, spec, contents))
