"""The store card: a README.md beside one backbone's stores that says what they are and how to read them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vadprobe.store.catalog.description import describe_store
from vadprobe.store.errors import StoreError
from vadprobe.store.files.atomic_files import write_bytes
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.locks import sole_planner
from vadprobe.store.files.text import counted, short, size_text
from vadprobe.store.format.clip_table import ClipTable

CARD = "README.md"
"""Name of the card in the folder of a backbone."""

_MARK = "<!-- Written by vadprobe at every commit; remove this line to keep a text of your own. -->"
_REASONS = 5


def write_card(folder: StorePath) -> StorePath | None:
    """Write the card of the stores in a backbone's folder, whole or not at all.

    It is written anew from the stores at every call, by one worker at a time, so the last commit is in it. Equal stores
    have equal cards. A README.md that was not written here is left alone.

    Args:
        folder: the backbone's folder, ``ROOT/<dataset>/<sampling>/<backbone>``.

    Returns:
        The card's path; None if the folder has a README.md of its own.

    Raises:
        StoreError: if there is no store in the folder, or it cannot be written to.
    """
    path = folder / CARD
    if not any(folder.glob("*.zarr")):
        raise StoreError(f"there is no feature store in {folder}; the folder of a backbone's stores is wanted.")
    try:
        with sole_planner(folder):
            before = path.read_bytes() if path.exists() else None
            if before is not None and not before.startswith(_MARK.encode()):
                return None
            after = store_card(folder).encode(errors="replace")  # names of files may be no UTF-8
            if after != before:
                write_bytes(path, after)
    except OSError as error:
        raise StoreError(f"the store card {path} cannot be written: {error.strerror or error}") from error
    return path


def store_card(folder: StorePath) -> str:
    """The card of the stores in a backbone's folder, as Markdown.

    A store that cannot be read is named with the reason.
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
        lines += _reading_lines(next((store for store in found if store["state"] == "committed"), found[0]))
    return "\n".join(lines).rstrip("\n") + "\n"


def _groups(found: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Stores that share all but the prompt; one group, unless stores were copied here from elsewhere."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for store in found:
        spec = store["specification"]
        groups.setdefault(str([spec["dataset"], spec["clips_digest"], spec["backbone"]]), []).append(store)
    return list(groups.values())


def _group_lines(stores: list[dict[str, Any]]) -> list[str]:
    first = stores[0]
    spec, clips = first["specification"], first["clips"]
    backbone, sampling = spec["backbone"], spec["sampling"]
    videos = f" of {counted(clips['videos'], 'video')}" if clips["videos"] is not None else ""
    cut = (
        f"clips of {sampling['clip_length']} frames" if sampling["unit"] == "segment" else "one clip per video"
    ) + f", {sampling['frames_per_clip']} frames of each shown to the model"
    lines = [
        f"# Feature stores: {backbone['key']} on {spec['dataset']}",
        "",
        f"What a frozen multimodal language model computes inside when it is shown video and asked a question: every "
        f"layer's hidden state and every attention head's output at the last prompt token, for "
        f"{counted(clips['clips'], 'clip')}{videos}. Probes, scores and reports are made from these numbers, without "
        "the videos and without the model.",
        "",
        *_caution(stores),
        "| | |",
        "|---|---|",
        f"| dataset | {_cell(spec['dataset'])} |",
        f"| clips | {counted(clips['clips'], 'clip')}{videos}: {cut} |",
        f"| clip table | `../clips.parquet`, digest `{clips['digest']}` |",
        f"| backbone | {_cell(backbone['source'])} ({_cell(backbone['family'])}) |",
        f"| revision | `{backbone['revision']}` |",
        f"| computed in | {backbone['dtype']}, attention {_cell(backbone['attention'])} |",
        f"| size | {backbone['n_layers']} blocks of {backbone['n_heads']} heads with {backbone['head_dim']} values, "
        f"hidden size {backbone['hidden_size']} |",
        f"| libraries | {_versions(stores)} |",
        "",
        "## Prompts",
        "",
        "| store | rows | failed | state | size | held |",
        "|---|---:|---:|---|---:|---|",
    ]
    for store in stores:
        rows = store["rows"]
        lines.append(
            f"| `{_name(store)}` | {rows['done']:,} of {rows['planned']:,} | {rows['failed']:,} | {store['state']} | "
            f"{size_text(store['bytes']['all'])} | {store['contents_text']} |"
        )
    for store in stores:
        lines += ["", f"`{_name(store)}` asks:", "", f"> {short(store['specification']['prompt']['text'], 2000)}", ""]
        lines.append(f"Digest of the specification: `{store['digest']}`")
    lines += ["", *_failure_lines(stores), *_array_lines(first)]
    return lines


def _caution(stores: list[dict[str, Any]]) -> list[str]:
    """What must not be overlooked."""
    if not any(store["specification"]["recipe"].get("random_weights") for store in stores):
        return []
    return ["**The weights of this backbone are random.** The numbers show that the way works, and mean nothing.", ""]


def _failure_lines(stores: list[dict[str, Any]]) -> list[str]:
    """Rows that could not be computed, by reason."""
    lines = []
    for store in stores:
        for failed in store["failed"][:_REASONS]:
            video = f", video `{failed['first_video']}`" if failed["first_video"] is not None else ""
            count = counted(failed["rows"], "row")
            lines.append(f"- `{_name(store)}`: {count}, first {failed['first_row']}{video}: {_cell(failed['reason'])}")
        if len(store["failed"]) > _REASONS:
            lines.append(f"- `{_name(store)}`: {len(store['failed']) - _REASONS} more reasons ('vadprobe show')")
    if not lines:
        return []
    return ["## Failed rows", "", "Their features are NaN.", "", *lines, ""]


def _array_lines(store: dict[str, Any]) -> list[str]:
    lines = [
        "## Arrays",
        "",
        "Row n of every array is row n of `../clips.parquet`. NaN means unknown: a row that failed or is not written "
        "yet, or a layer or head that is not held.",
        "",
        "| array | dimensions | shape | dtype | bytes per value | |",
        "|---|---|---|---|---:|---|",
    ]
    for array in store["arrays"]:
        exact = " holding bfloat16 exactly" if array["values"] == "bfloat16" else ""
        ratio = f"{array['bytes_per_value']:.2f}" if array["bytes_per_value"] is not None else "unknown"
        lines.append(
            f"| `{array['name']}` | {', '.join(array['dims'])} | {' × '.join(f'{n:,}' for n in array['shape'])} | "
            f"{array['dtype']}{exact} | {ratio} | {_cell(array['description'])} |"
        )
    return [*lines, ""]


def _reading_lines(store: dict[str, Any]) -> list[str]:
    spec, name = store["specification"], _name(store)
    place = "/".join((spec["dataset"], _sampling_key(spec["sampling"]), spec["backbone"]["key"], name))
    return [
        "## How to read them",
        "",
        "They are plain Zarr v3 groups, which Zarr, xarray and TensorStore open. From this folder:",
        "",
        "```python",
        "import pyarrow.parquet, xarray, zarr",
        "",
        f'heads = zarr.open_array("{name}/head_outputs", mode="r")  # (clip, block, head, head_dim)',
        "one_head = heads[:, 0, 0]  # (clip, head_dim): only that head is read",
        f'everything = xarray.open_zarr("{name}", consolidated=False)  # named dimensions, nothing is read yet',
        'clips = pyarrow.parquet.read_table("../clips.parquet")  # row, video_id, start_frame, stop_frame, ...',
        "```",
        "",
        "With vadprobe (`pip install vadprobe`), which refuses rows that were never written:",
        "",
        "```python",
        "from pathlib import Path",
        "from vadprobe.store.reading.feature_store import FeatureStore",
        "",
        f'store = FeatureStore.open(Path("{name}"))',
        "values = store.head_outputs(rows=range(10), heads=[(0, 0)])  # (10, 1, head_dim)",
        "```",
        "",
        "## How to check them",
        "",
        f"`vadprobe verify {name}` reads every byte again and compares it with the checksums that were recorded when "
        f"it was written; `vadprobe show {name}` tells the rest.",
        "",
        f"A store keeps its meaning only beside its records and its clip table: copy `{place}`, the folder of the same "
        "name that ends in `.records`, and `clips.parquet` with `clip_videos.parquet`.",
        "",
    ]


def _versions(stores: list[dict[str, Any]]) -> str:
    """Libraries with their versions; each version once."""
    found: dict[str, dict[str, None]] = {}
    for store in stores:
        for library, version in sorted(store["specification"]["versions"].items()):
            found.setdefault(library, {})[str(version)] = None
    return ", ".join(f"{_cell(library)} {' and '.join(versions)}" for library, versions in found.items()) or "unknown"


def _sampling_key(sampling: dict[str, Any]) -> str:
    return "-".join(str(part) for part in sampling.values() if part is not None)


def _name(store: dict[str, Any]) -> str:
    return Path(store["store"]).name


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
