"""The commands ls, show, diff, similar, card and gc: stores of a root, what is in them, what lies beside them."""

import logging
import math
from typing import TYPE_CHECKING, Any

from vadprobe.flows.commands.options import Heads, OptionalNumber, Place, Positive, print_json
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import can_list
from vadprobe.store.files.text import counted, size_text

if TYPE_CHECKING:
    from vadprobe.store.catalog.comparison import Comparison

_LOGGER = logging.getLogger(__name__)


def ls(root: Place, /, *, save: bool = False, json: bool = False) -> int:
    """List the stores of a root: rows, size, state, digest.

    Example: vadprobe ls features

    Args:
        root: the folder that holds the datasets
        save: also write ROOT/catalog.json, for places that cannot be listed (http)
        json: print JSON, for programs
    """
    from vadprobe.flows.commands.store_text import catalog_lines
    from vadprobe.store.catalog.catalog import read_catalog

    catalog = read_catalog(root)
    saved = catalog.save() if save else None
    if json:
        more = {"root": str(root), "bytes": catalog.n_bytes, "notes": list(catalog.notes)}
        print_json(catalog.to_json() | more)
        return 0
    print("\n".join(catalog_lines(catalog)))
    if saved is not None:
        print(f"Written: {saved}")
    return 0


def show(store: Place, /, *, json: bool = False) -> int:
    """Show one store: its specification, arrays, failed rows and sizes.

    Example: vadprobe show features/set/segment-48-16/backbone/coarse.zarr

    Args:
        store: a store: ROOT/DATASET/SAMPLING/BACKBONE/PROMPT, with or without .zarr
        json: print JSON, for programs
    """
    from vadprobe.flows.commands.store_text import store_lines
    from vadprobe.store.catalog.description import describe_store
    from vadprobe.store.catalog.path_hints import find_store

    described = describe_store(find_store(store))
    if json:
        print_json(described)
    else:
        print("\n".join(store_lines(described)))
    return 0


def similar(
    clip: str,
    /,
    *,
    store: Place,
    layer: OptionalNumber = None,
    heads: Heads = None,
    count: Positive = 10,
    other_videos: bool = False,
    json: bool = False,
) -> int:
    """Find the clips of a store that are most like one, by the cosine of their features.

    Example: vadprobe similar Fall_01@48 --store features/set/segment-48-16/backbone/coarse.zarr --heads 3:6,0:6

    Args:
        clip: the clip to compare with: VIDEO, VIDEO@FRAME, or the number of a row
        store: a store: ROOT/DATASET/SAMPLING/BACKBONE/PROMPT, with or without .zarr
        layer: compare these hidden states; 0 is the embedding
        heads: compare these heads, each as block:head from 0
        count: number of clips that are listed
        other_videos: list clips of other videos only
        json: print JSON, for programs
    """
    from vadprobe.flows.jobs.progress import Bar
    from vadprobe.store.catalog.path_hints import find_store
    from vadprobe.store.reading.feature_store import FeatureStore
    from vadprobe.store.reading.similar_clips import row_of_clip, similar_clips

    opened = FeatureStore.open(find_store(store))
    row = row_of_clip(opened.clips, clip)
    choice: dict[str, Any] = {"layer": layer, "heads": heads or (), "other_videos": other_videos}
    found = similar_clips(opened, row, count, progress=Bar("comparing", "clip"), **choice)
    clips = [(opened.clips.clip(one.row), one) for one in found]
    if json:
        listed = [
            {
                "row": one.row,
                "video_id": it.video_id,
                "start_frame": it.start_frame,
                "stop_frame": it.stop_frame,
                "cosine": one.cosine,
            }
            for it, one in clips
        ]
        print_json({"row": row, "clips": listed})
        return 0
    asked = opened.clips.clip(row)
    print(f"Most like {asked.video_id} frames {asked.start_frame}-{asked.stop_frame - 1} (row {row}), by the cosine:")
    for it, one in clips:
        print(f"{one.cosine:8.4f}  {it.video_id} frames {it.start_frame}-{it.stop_frame - 1} (row {one.row})")
    return 0


def diff(a: Place, b: Place, /, *, values: bool = False, json: bool = False) -> int:
    """Say what differs between two stores.

    Exit code 0 same, 1 different, 2 cannot tell.

    Example: vadprobe diff one/coarse.zarr other/coarse.zarr

    Args:
        a: a store: ROOT/DATASET/SAMPLING/BACKBONE/PROMPT, with or without .zarr
        b: another one
        values: compare the features too: by their checksums, and by value where needed
        json: print JSON, for programs
    """
    from vadprobe.flows.commands.store_text import comparison_lines
    from vadprobe.store.catalog.comparison import compare
    from vadprobe.store.catalog.path_hints import find_store

    found = compare(find_store(a), find_store(b), values=values)
    if json:
        print_json(_comparison_content(found))
    else:
        print("\n".join(comparison_lines(found)))
    return found.verdict


def card(store: Place, /) -> int:
    """Write README.md beside the stores of a backbone, as every commit does.

    Example: vadprobe card features/set/segment-48-16/backbone/coarse.zarr

    Args:
        store: a store: ROOT/DATASET/SAMPLING/BACKBONE/PROMPT, with or without .zarr; or the folder it lies in
    """
    from vadprobe.store.catalog.path_hints import find_store
    from vadprobe.store.catalog.store_card import write_card

    folder = store if store.is_dir() and any(store.glob("*.zarr")) else find_store(store).parent
    path = write_card(folder)
    if path is None:
        raise VadprobeError(
            f"{folder / 'README.md'} was not written by vadprobe, so it was not changed; move it away, "
            "then give the command again."
        )
    print(f"Written: {path}")
    return 0


def gc(root: Place, /, *, yes: bool = False) -> int:
    """List what killed processes left behind, and remove it with --yes.

    Nothing is removed without --yes, and never what a living worker claims.

    Example: vadprobe gc features

    Args:
        root: the folder that holds the datasets
        yes: remove what is listed
    """
    from vadprobe.flows.commands.store_text import garbage_lines
    from vadprobe.store.catalog.garbage import collect_garbage, find_garbage
    from vadprobe.store.catalog.path_hints import explain

    if not can_list(root):
        raise VadprobeError(
            f"{root} is on a web server, which cannot list files; run 'vadprobe gc' on a "
            "machine that has them in a folder."
        )
    if not root.is_dir():
        raise VadprobeError(explain(root))
    found = find_garbage(root)
    if not yes:
        print("\n".join(garbage_lines(str(root), found)))
        return 0
    removed = collect_garbage(found, tell=_LOGGER.info)
    for one in removed:
        print(f"Removed: {one.path} ({size_text(one.n_bytes)}; {one.why})")
    for one in found:
        if one not in removed:
            reason = "its worker sent a heartbeat" if one.verdict == "wait" else one.why
            print(f"Kept: {one.path} ({reason})")
    total = size_text(sum(one.n_bytes for one in removed))
    print(f"{counted(len(removed), 'leftover')} removed, {total}." if removed else "Nothing was removed.")
    return 0


def _comparison_content(found: "Comparison") -> dict[str, Any]:
    values = [
        {
            "array": array.name,
            "partitions_equal": array.equal,
            "partitions_differing": array.differing,
            "values_differing": array.n_values,
            "nan_in_one": array.one_sided,
            "largest_difference": _number(array.largest),
            "row": array.row,
        }
        for array in found.values or ()
    ]
    parts = ("specification", "clips", "contents", "state", "unknown")
    return {
        "a": str(found.first.path),
        "b": str(found.second.path),
        "verdict": ("same", "different", "cannot tell")[found.verdict],
        **{part: getattr(found, part) for part in parts},
        "failed_rows": found.failures,
        "values": None if found.values is None else values,
    }


def _number(value: float) -> float | str | None:
    """Return a number in a form that JSON has: NaN becomes None, an infinity becomes a word."""
    return None if math.isnan(value) else value if math.isfinite(value) else str(value)
