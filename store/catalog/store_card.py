"""The store card: a README.md beside the stores of one backbone that says what they are and how to read them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vadprobe.store.catalog.description import describe_store
from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import write_bytes
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.locks import sole_planner
from vadprobe.store.files.text import counted, error_text, markdown_table, short, size_text
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.prompts import POSITIONS, Prompt
from vadprobe.store.format.specification import BackboneSpec, backbone_notes

CARD = "README.md"
"""Name of the card in the folder of a backbone."""

_MARK = "<!-- Written by vadprobe at every commit; remove this line to keep a text of your own. -->"
_REASONS = 5
_READING = """\
## How to read them

They are plain Zarr v3 groups, which Zarr, xarray and TensorStore open. From this folder:

```python
import pyarrow.parquet, xarray, zarr

{plain}
everything = xarray.open_zarr("{name}", consolidated=False)  # named dimensions, nothing is read yet
clips = pyarrow.parquet.read_table("../clips.parquet")  # row, video_id, start_frame, stop_frame, ...
```

With vadprobe (`pip install vadprobe`), which refuses rows that were never written:

```python
from pathlib import Path
from vadprobe.store import FeatureStore

store = FeatureStore.open(Path("{name}"))
{own}
```

## How to check them

`vadprobe verify {name}` reads every byte again and compares it with the checksums that were recorded when it was \
written; `vadprobe show {name}` tells the rest.

A store keeps its meaning only beside its records and its clip table: copy `{place}`, the folder of the same name that \
ends in `.records`, and `clips.parquet` with `clip_videos.parquet`.
"""


def write_card(folder: StorePath) -> StorePath | None:
    """Write the card of the stores in a backbone's folder, whole or not at all.

    It is written anew at every call, by one worker at a time, so it covers all committed stores. Equal stores have
    equal cards. A README.md that vadprobe did not write is left alone.

    Args:
        folder: the backbone's folder, `ROOT/<dataset>/<sampling>/<backbone>`.

    Returns:
        The card's path; None if the folder has a README.md of its own.

    Raises:
        StoreError: if there is no store in the folder, or it cannot be written to.
    """
    path = folder / CARD
    if not any(folder.glob("*.zarr")):
        raise StoreError(f"there is no feature store in {folder}; name the folder that holds a backbone's stores.")
    try:
        with sole_planner(folder):
            before = path.read_bytes() if path.exists() else None
            if before is not None and not before.startswith(_MARK.encode()):
                return None
            after = store_card(folder).encode(errors="replace")  # file names may not be UTF-8
            if after != before:
                write_bytes(path, after)
    except OSError as error:
        raise StoreError(f"the store card {path} cannot be written: {error_text(error)}") from error
    return path


def store_card(folder: StorePath) -> str:
    """Return the card of the stores in a backbone's folder, as Markdown.

    A store that cannot be read is listed with the reason.
    """
    found: list[dict[str, Any]] = []
    unreadable: dict[str, str] = {}
    tables: dict[str, ClipTable] = {}
    stores: list[StorePath] = sorted(folder.glob("*.zarr"))
    for path in stores:
        try:
            found.append(describe_store(path, tables))
        except StoreError as error:
            unreadable[path.name] = str(error).replace(f"{folder}/", "")
    lines = [_MARK, ""]
    for group in _groups(found):
        lines += _group_lines(group)
    if unreadable:
        lines += ["## Not readable", "", *(f"- `{name}`: {reason}" for name, reason in unreadable.items()), ""]
    if found:
        lines.append(_reading(next((store for store in found if store["state"] == "committed"), found[0])))
    return "\n".join(lines).rstrip("\n") + "\n"


def _groups(found: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Group stores whose specifications differ in the prompt alone; usually there is one group."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for store in found:
        spec = store["specification"]
        groups.setdefault(str([spec["dataset"], spec["clips_digest"], spec["backbone"]]), []).append(store)
    return list(groups.values())


def _group_lines(stores: list[dict[str, Any]]) -> list[str]:
    first = stores[0]
    spec, clips = first["specification"], first["clips"]
    videos = f" of {counted(clips['videos'], 'video')}" if clips["videos"] is not None else ""
    asked = [Prompt(**store["specification"]["prompt"]) for store in stores]
    places = ", or ".join(dict.fromkeys(POSITIONS[prompt.position][1] for prompt in asked))
    rows = [
        (
            f"`{_name(store)}`",
            f"{store['rows']['done']:,} of {store['rows']['planned']:,}",
            f"{store['rows']['failed']:,}",
            store["state"],
            size_text(store["bytes"]["all"]),
            store["contents_text"],
        )
        for store in stores
    ]
    lines = [
        f"# Feature stores: {spec['backbone']['key']} on {spec['dataset']}",
        "",
        f"What a frozen multimodal language model computes inside when it is shown video and asked a question: every "
        f"layer's hidden state and every attention head's output {places}, for "
        f"{counted(clips['clips'], 'clip')}{videos}. Probes, scores and reports are made from these numbers, without "
        "the videos and without the model.",
        "",
        *_caution(stores),
        *markdown_table(("", ""), _facts(stores, videos)),
        "",
        "## Prompts",
        "",
        *markdown_table(("store", "rows", "failed", "state", "size", "stored"), rows, ("rows", "failed", "size")),
    ]
    for store, prompt in zip(stores, asked, strict=True):
        lines += ["", f"`{_name(store)}` asks:", "", f"> {short(prompt.describe(), 2000)}", ""]
        lines.append(f"Digest of the specification: `{store['digest']}`")
    return [*lines, "", *_failure_lines(stores), *_array_lines(first)]


def _facts(stores: list[dict[str, Any]], videos: str) -> list[tuple[str, str]]:
    """Return (name, value) of each property that the stores of a group share."""
    spec, clips = stores[0]["specification"], stores[0]["clips"]
    backbone, sampling = spec["backbone"], spec["sampling"]
    unit = f"clips of {sampling['clip_length']} frames" if sampling["unit"] == "segment" else "one clip per video"
    cut = f"{unit}, {sampling['frames_per_clip']} frames of each shown to the model"
    return [
        ("dataset", spec["dataset"]),
        ("clips", f"{counted(clips['clips'], 'clip')}{videos}: {cut}"),
        ("clip table", f"`../clips.parquet`, digest `{clips['digest']}`"),
        ("backbone", f"{backbone['source']} ({backbone['family']})"),
        ("revision", f"`{backbone['revision']}`"),
        ("computed in", f"{backbone['dtype']}, attention {backbone['attention']}"),
        (
            "size",
            f"{BackboneSpec(**backbone).describe_heads()}, hidden size {backbone['hidden_size']}",
        ),
        ("libraries", _versions(stores)),
    ]


def _caution(stores: list[dict[str, Any]]) -> list[str]:
    """Return the lines that warn about numbers of a backbone with random or drawn weights; empty for others."""
    specs = [store["specification"] for store in stores]
    notes = dict.fromkeys(note for spec in specs for note in backbone_notes(spec["backbone"]["key"], spec["recipe"]))
    return [line for note in notes for line in (f"**{note}**", "")]


def _failure_lines(stores: list[dict[str, Any]]) -> list[str]:
    """List the rows that could not be computed, by reason."""
    lines = []
    for store in stores:
        for failed in store["failed"][:_REASONS]:
            video = f", video `{failed['first_video']}`" if failed["first_video"] is not None else ""
            count = counted(failed["rows"], "row")
            reason = short(failed["reason"], 1000)
            lines.append(f"- `{_name(store)}`: {count}, first {failed['first_row']}{video}: {reason}")
        if len(store["failed"]) > _REASONS:
            lines.append(f"- `{_name(store)}`: {len(store['failed']) - _REASONS} more reasons ('vadprobe show')")
    return ["## Failed rows", "", "Their features are NaN.", "", *lines, ""] if lines else []


def _array_lines(store: dict[str, Any]) -> list[str]:
    rows = [
        (
            f"`{array['name']}`",
            ", ".join(array["dims"]),
            " × ".join(f"{n:,}" for n in array["shape"]),
            array["dtype"] + (" holding bfloat16 exactly" if array["values"] == "bfloat16" else ""),
            f"{array['bytes_per_value']:.2f}" if array["bytes_per_value"] is not None else "unknown",
            array["description"],
        )
        for array in store["arrays"]
    ]
    return [
        "## Arrays",
        "",
        "Row n of every array is row n of `../clips.parquet`. NaN means unknown: a row that failed or is not written "
        "yet, or a layer or head that is not stored.",
        "",
        *markdown_table(
            ("array", "dimensions", "shape", "dtype", "bytes per value", ""), rows, right=("bytes per value",)
        ),
        "",
    ]


def _reading(store: dict[str, Any]) -> str:
    spec, name = store["specification"], _name(store)
    sampling = "-".join(str(part) for part in spec["sampling"].values() if part is not None)
    plain, own = _example(BackboneSpec(**spec["backbone"]), name)
    place = f"{spec['dataset']}/{sampling}/{spec['backbone']['key']}/{name}"
    return _READING.format(name=name, place=place, plain=plain, own=own)


def _example(backbone: BackboneSpec, name: str) -> tuple[str, str]:
    """Return the lines that read one head, or one layer of a backbone without heads, with Zarr and with vadprobe."""
    if not backbone.heads:
        layer = f'one_layer = zarr.open_array("{name}/hidden_states", mode="r")[:, 1]  # (clip, hidden)'
        return layer, "values = store.hidden_states(rows=range(10), layers=[1])  # (10, 1, hidden)"
    block, head = backbone.heads[0]
    plain = f'heads = zarr.open_array("{name}/head_outputs", mode="r")  # (clip, block, head, head_dim)\n'
    plain += f"one_head = heads[:, {block}, {head}]  # (clip, head_dim): only that head is read"
    return plain, f"values = store.head_outputs(rows=range(10), heads=[({block}, {head})])  # (10, 1, head_dim)"


def _versions(stores: list[dict[str, Any]]) -> str:
    """List libraries with their versions, each version once."""
    found: dict[str, dict[str, None]] = {}
    for store in stores:
        for library, version in sorted(store["specification"]["versions"].items()):
            found.setdefault(library, {})[str(version)] = None
    return ", ".join(f"{library} {' and '.join(versions)}" for library, versions in found.items()) or "unknown"


def _name(store: dict[str, Any]) -> str:
    return Path(store["store"]).name
