"""Description of one store as plain values, for people and for programs."""

from dataclasses import asdict
from typing import Any

from vadprobe.store.catalog.inventory import Inventory
from vadprobe.store.errors import StoreError
from vadprobe.store.files.location import StorePath
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import clips_of
from vadprobe.store.format.schema import storage_dtype
from vadprobe.store.writing.timings.run_timings import DeviceTimings, read_timings


def describe_store(path: StorePath, tables: dict[str, ClipTable] | None = None) -> dict[str, Any]:
    """Return specification, contents, arrays, rows, failures and sizes of a store, as JSON values.

    Sizes are taken from the records; no shard is read. `bytes_per_value` is None while nothing is written.

    Args:
        path: the Zarr group.
        tables: clip tables by digest, read for other stores before; the table of this store is added, so that each is
            read once.

    Raises:
        StoreError: if there is no store, or its provenance cannot be read.
    """
    found = Inventory.read(path)
    spec = found.spec
    clips, problem = _clips(found, {} if tables is None else tables)
    return {
        "store": str(path),
        "state": "committed" if found.is_committed else "open",
        "digest": spec.digest,
        "specification": spec.to_json(),
        "contents": found.contents.to_json(),
        "contents_text": found.contents_text,
        "clips": {
            "path": str(clips_of(path)),
            "clips": spec.n_clips,
            "videos": len(clips.video_ids) if clips else None,
            "digest": spec.clips_digest,
        },
        "rows": {
            "all": spec.n_clips,
            "planned": found.n_planned,
            "done": found.n_done,
            "failed": len(found.failures),
            "partitions_planned": len(found.partitions),
            "partitions_done": len(found.records),
        },
        "failed": [
            {"reason": reason, "rows": len(rows), "first_row": rows[0], **_clip(clips, rows[0])}
            for reason, rows in found.failures_by_reason.items()
        ],
        "arrays": [
            {
                "name": array.name,
                "dims": list(array.dims),
                "shape": list(array.shape),
                "dtype": str(storage_dtype(spec.backbone.dtype)),
                "values": spec.backbone.dtype,
                "shard": list(array.shard),
                "chunk": list(array.chunk),
                "description": array.prose,
                "bytes": found.shard_bytes(array.name),
                "bytes_per_value": _ratio(found.shard_bytes(array.name), found.n_values(array)),
            }
            for array in found.arrays
        ],
        "bytes": {
            "all": found.n_bytes,
            "features": found.n_bytes - found.small_bytes,
            "metadata_and_records": found.small_bytes,
            "per_value": _ratio(
                found.n_bytes - found.small_bytes, sum(found.n_values(array) for array in found.arrays)
            ),
        },
        "timings": [_timings(one) for one in read_timings(path.parent, spec.prompt.key, spec.digest)],
        "problems": [*filter(None, (problem, found.refusal)), *found.damaged.values()],
    }


def _timings(found: DeviceTimings) -> dict[str, Any]:
    """Return the timings of extractions on one kind of device, without the shapes."""
    return {"device": found.device, "dtype": found.dtype, "passes": [asdict(one) for one in found.passes]}


def _clips(found: Inventory, tables: dict[str, ClipTable]) -> tuple[ClipTable | None, str | None]:
    """Return (table, None), or (None, reason) if the store's clip table cannot be used."""
    if found.spec.clips_digest in tables:
        return tables[found.spec.clips_digest], None
    try:
        clips = tables[found.spec.clips_digest] = found.read_clips()
    except (StoreError, OSError) as error:
        return None, str(error)
    return clips, None


def _clip(clips: ClipTable | None, row: int) -> dict[str, Any]:
    if clips is None:
        return {"first_video": None, "first_frames": None}
    clip = clips.clip(row)
    return {"first_video": clip.video_id, "first_frames": [clip.start_frame, clip.stop_frame]}


def _ratio(n_bytes: int, n_values: int) -> float | None:
    return n_bytes / n_values if n_values else None
