"""Lines that the commands about stores print."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from vadprobe.store.catalog.inventory import contents_text, state_text
from vadprobe.store.files.text import counted, first_few, short, size_text, table
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.schema import n_partitions
from vadprobe.store.format.specification import BackboneSpec

if TYPE_CHECKING:
    from vadprobe.store.catalog.array_comparison import ArrayDifference
    from vadprobe.store.catalog.catalog import Catalog, Entry
    from vadprobe.store.catalog.comparison import Comparison
    from vadprobe.store.catalog.garbage import Garbage

_HEAD = ("dataset", "sampling", "backbone", "prompt", "rows", "failed", "size", "state", "stored", "digest")
_PARTITIONS_NAMED = 8
_DIGEST = 12


def catalog_lines(catalog: "Catalog") -> Iterator[str]:
    """Yield a table of stores with their total, then the problems of each."""
    yield from table(_HEAD, [_row(entry) for entry in catalog.entries], right=("rows", "failed", "size"))
    states = [entry.state for entry in catalog.entries]
    others = ", ".join(f"{states.count(state)} {state}" for state in ("open", "unreadable") if state in states)
    yield ""
    yield f"{counted(len(states), 'store')}, {size_text(catalog.n_bytes)}" + (f" ({others})" if others else "")
    for entry in catalog.entries:
        if entry.reason:
            yield f"{entry.relative_path}: {entry.reason}"
    left = sum(len(entry.leftovers) for entry in catalog.entries)
    if left:
        yield f"{counted(left, 'file')} may be left over; 'vadprobe gc {catalog.root}' lists them."
    yield from catalog.notes


def _row(entry: "Entry") -> tuple[str, ...]:
    rows = failed = size = "?"
    if entry.n_done is not None and entry.n_planned is not None and entry.n_bytes is not None:
        done = f"{entry.n_done:,}"
        rows = done if entry.n_done == entry.n_planned else f"{done} of {entry.n_planned:,}"
        failed, size = f"{entry.n_failed:,}", size_text(entry.n_bytes)
    state = entry.state + (" (!)" if entry.reason and entry.state != "unreadable" else "")
    return (*entry.place, rows, failed, size, state, entry.contents or "?", (entry.digest or "?")[:_DIGEST])


def store_lines(store: dict[str, Any]) -> Iterator[str]:
    """Yield the result of `describe_store` as lines for people."""
    rows, sizes = store["rows"], store["bytes"]
    partitions = f"{rows['partitions_done']} of {counted(rows['partitions_planned'], 'partition')}"
    yield store["store"]
    yield (
        f"{store['state']}, {rows['done']:,} of {counted(rows['planned'], 'row')} ({partitions}), "
        f"{rows['failed']:,} failed, {size_text(sizes['all'])}"
    )
    yield from (f"! {problem}" for problem in store["problems"])
    yield from ("", "Specification", *_pairs(_specification(store)))
    yield from ("", "Held", *_pairs(_held(store)))
    cells = [
        (
            array["name"],
            ", ".join(array["dims"]),
            _shape(array["shape"]),
            array["dtype"] + (f" (of {array['values']})" if array["values"] != array["dtype"] else ""),
            _shape(array["shard"]),
            _shape(array["chunk"]),
            size_text(array["bytes"]),
            _number(array["bytes_per_value"]),
        )
        for array in store["arrays"]
    ]
    head = ("name", "dimensions", "shape", "dtype", "shard", "chunk", "size", "bytes/value")
    yield from ("", "Arrays", *(f"  {line}" for line in table(head, cells, right=("size", "bytes/value"))), "")
    yield f"  features {size_text(sizes['features'])}, {_number(sizes['per_value'])} bytes per value; " + (
        f"metadata and records {size_text(sizes['metadata_and_records'])}"
    )
    if store["failed"]:
        yield from ("", "Failed rows", *_failed_lines(store["failed"]))
    if store["timings"]:
        yield from ("", "Extraction", *_timing_lines(store))
    yield from ("", "Open it in Python")
    yield "  from vadprobe.store import open_store"
    yield f"  store = open_store({store['store']!r})"
    count, heads = min(10, rows["done"]), BackboneSpec(**store["specification"]["backbone"]).heads
    if heads:
        yield f"  values = store.head_outputs(rows=range({count}), heads=[{heads[0]}])  # (rows, 1, head_dim)"
    else:
        yield f"  values = store.hidden_states(rows=range({count}), layers=[1])  # (rows, 1, hidden_size)"


def _specification(store: dict[str, Any]) -> Iterator[tuple[str, str]]:
    spec, clips = store["specification"], store["clips"]
    backbone, sampling = spec["backbone"], spec["sampling"]
    yield "digest", store["digest"]
    yield "dataset", spec["dataset"]
    videos = f" of {counted(clips['videos'], 'video')}" if clips["videos"] is not None else ""
    yield "clip table", f"{counted(clips['clips'], 'clip')}{videos}, digest {clips['digest']}"
    length = f"segments of {sampling['clip_length']} frames" if sampling["unit"] == "segment" else "whole videos"
    yield "sampling", f"{length}, {sampling['frames_per_clip']} frames shown of each"
    yield "backbone", f"{backbone['key']}: {backbone['source']} ({backbone['family']})"
    yield "revision", backbone["revision"]
    yield "computed in", f"{backbone['dtype']}, attention {backbone['attention']}"
    yield (
        "size",
        f"{BackboneSpec(**backbone).describe_heads()}, hidden size {backbone['hidden_size']}",
    )
    yield "prompt", f"{spec['prompt']['key']}: {Prompt(**spec['prompt']).describe()}"
    for name, value in sorted(spec["recipe"].items()):
        yield f"recipe.{name}", value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    yield "versions", ", ".join(f"{name} {version}" for name, version in sorted(spec["versions"].items())) or "unknown"
    yield "format", str(spec["format_version"])


def _held(store: dict[str, Any]) -> Iterator[tuple[str, str]]:
    contents = store["contents"]
    layers, heads, partitions = (contents.get(name) for name in ("layers", "heads", "partitions"))
    yield "layers", "all" if layers is None else ", ".join(map(str, layers)) or "none"
    yield (
        "heads",
        "all" if heads is None else ", ".join(f"{b}.{h}" for b, h in heads) + " (block.head)" if heads else ("none"),
    )
    if contents.get("answers") is False:
        yield "answers", "none"
    if contents.get("full_partitions"):
        yield "all of both in", f"partitions {first_few(contents['full_partitions'], _PARTITIONS_NAMED)}"
    if partitions is not None:
        yield "rows", f"those of partitions {first_few(partitions, _PARTITIONS_NAMED)}"


def _timing_lines(store: dict[str, Any]) -> Iterator[str]:
    """Yield how the time of a clip was spent, by device and by the parts that one pass computed."""
    total = store["specification"]["backbone"]["n_layers"]
    for device in store["timings"]:
        yield f"  on {device['device']} in {device['dtype']}"
        for one in device["passes"]:
            each = {phase: f"{seconds / one['clips']:.4f}" for phase, seconds in one["seconds"].items()}
            blocks = "all blocks" if one["blocks"] == total else f"{one['blocks']} of {total} blocks"
            sizes = ", ".join(map(str, one["batch_clips"]))
            yield (
                f"    {counted(one['clips'], 'clip')}, {counted(len(one['prompts']), 'prompt')} a pass, {blocks}, "
                f"{sizes} at once: model {each['model']} s a clip; waited {each['decoding']} s for frames, "
                f"{each['writing']} s for the disk"
            )


def _failed_lines(failed: Iterable[dict[str, Any]]) -> Iterator[str]:
    for group in failed:
        where = f"row {group['first_row']}"
        if group["first_video"] is not None:
            start, stop = group["first_frames"]
            where += f" ({group['first_video']}, frames {start}-{stop - 1})"
        yield f"  {counted(group['rows'], 'row')}, first {where}:"
        yield f"    {short(group['reason'], 300)}"


def comparison_lines(found: "Comparison") -> Iterator[str]:
    """Yield what differs, part by part, and the verdict."""
    a, b = found.first, found.second
    yield from (f"A  {a.path}", f"B  {b.path}", "")
    clips = f"{counted(a.spec.n_clips, 'clip')}, digest {a.spec.clips_digest[:_DIGEST]}"
    held = contents_text(a.contents, n_partitions(a.spec.n_clips, a.contents.partition_rows))
    yield from _part("specification", found.specification, f"digest {a.spec.digest[:_DIGEST]}", "of A, not of B")
    yield from _part("clip tables", found.clips, clips)
    yield from _part("stored", found.contents, held)
    yield from _part("state", found.state, state_text(a))
    yield from _part("failed rows", found.failures, str(len(a.failures)))
    if found.values is not None:
        yield from _part("values", [line for line in map(_values_line, found.values) if line], "bit for bit")
    for reason in found.unknown:
        yield f"! {reason}"
    yield ""
    yield {0: "The same", 1: "Different", 2: "Cannot tell"}[found.verdict] + (
        "." if found.values is not None or found.verdict else "; values were not compared (--values)."
    )


def _part(name: str, differences: Sequence[str], same: str, note: str = "") -> Iterator[str]:
    if not differences:
        yield f"{name:<15}same ({same})"
        return
    yield f"{name:<15}differs" + (f" ({note})" if note else "")
    yield from (f"  {short(line, 400)}" for line in differences)


def _values_line(array: "ArrayDifference") -> str:
    if not array.differing:
        return ""
    total = array.equal + len(array.differing)
    text = (
        f"{array.name}: {len(array.differing)} of {total} partitions ({first_few(array.differing, _PARTITIONS_NAMED)})"
    )
    text += f", {counted(array.n_values, 'value')}"
    if not math.isnan(array.largest):
        text += f", largest difference {array.largest:.6g} at row {array.row}"
    return text + (f", {array.one_sided:,} of them NaN in one store only" if array.one_sided else "")


def garbage_lines(root: str, found: "Sequence[Garbage]") -> Iterator[str]:
    """Yield what 'vadprobe gc' would remove and what it would keep, with reasons and sizes."""
    parts = (
        ("These would be removed:", "delete"),
        ("These would be removed if their workers send no heartbeat while they are watched:", "wait"),
        ("These are kept:", "keep"),
    )
    for title, verdict in parts:
        part = [one for one in found if one.verdict == verdict]
        if part:
            cells = [
                (one.kind, size_text(one.n_bytes), one.why, str(one.path).removeprefix(root).lstrip("/"))
                for one in part
            ]
            lines = table(("kind", "size", "why", "path"), cells, right=("size",))
            yield from (title, *(f"  {line}" for line in lines), "")
    going = [one for one in found if one.verdict != "keep"]
    if going:
        total = size_text(sum(one.n_bytes for one in going))
        count = counted(len(going), "leftover")
        yield f"{count}, {total}. Nothing was removed; 'vadprobe gc {root} --yes' removes what is listed."
    else:
        yield f"There is nothing to remove in {root}."


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[str]:
    every = list(pairs)
    width = max(len(name) for name, _ in every)
    return [f"  {name:<{width}}  {' '.join(value.split())}" for name, value in every]


def _shape(numbers: Sequence[int]) -> str:
    return " x ".join(f"{number:,}" for number in numbers)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
