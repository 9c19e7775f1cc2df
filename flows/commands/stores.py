"""``vadprobe ls | show | diff | card | gc``: what stores there are, what is in them, and what was left beside them."""

import argparse
import json
import math
from collections.abc import Iterable
from typing import Any

from vadprobe.flows.commands.options import place
from vadprobe.flows.commands.store_text import catalog_lines, comparison_lines, leftover_lines, store_lines
from vadprobe.store.catalog.catalog import Catalog, read_catalog
from vadprobe.store.catalog.comparison import Comparison, compare
from vadprobe.store.catalog.description import describe_store
from vadprobe.store.catalog.garbage import Garbage, collect_garbage, find_garbage
from vadprobe.store.catalog.path_hints import explain, find_store
from vadprobe.store.catalog.store_card import write_card
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.location import StorePath, can_list
from vadprobe.store.files.text import counted, size_text

_STORE = "a store: ROOT/DATASET/SAMPLING/BACKBONE/PROMPT, with or without .zarr"
_PLACE = place
"""What a root or store on the command line becomes."""


def add_store_commands(commands: Any) -> None:
    """Add ``ls``, ``show``, ``diff``, ``card`` and ``gc``."""
    listing = _add(commands, "ls", _ls, "list the stores of a root: rows, size, state, digest")
    listing.add_argument("root", type=_PLACE, metavar="ROOT", help="the folder that holds the datasets")
    listing.add_argument(
        "--save", action="store_true", help="also write ROOT/catalog.json, for places that cannot be listed (http)"
    )
    showing = _add(commands, "show", _show, "tell everything about one store")
    showing.add_argument("store", type=_PLACE, metavar="STORE", help=_STORE)
    differing = _add(
        commands, "diff", _diff, "say what differs between two stores", " Exit code 0 same, 1 different, 2 cannot tell."
    )
    differing.add_argument("first", type=_PLACE, metavar="A", help=_STORE)
    differing.add_argument("second", type=_PLACE, metavar="B", help="another one")
    differing.add_argument(
        "--values", action="store_true", help="compare the features too: by their checksums, and by value where needed"
    )
    for parser in (listing, showing, differing):
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    card = _add(commands, "card", _card, "write README.md beside the stores of a backbone, as every commit does")
    card.add_argument("folder", type=_PLACE, metavar="STORE", help=f"{_STORE}; or the folder it lies in")
    collecting = _add(
        commands,
        "gc",
        _gc,
        "list what ended processes left behind, and remove it with --yes",
        " Nothing is removed without --yes, and never what a living worker claims.",
    )
    collecting.add_argument("root", type=_PLACE, metavar="ROOT", help="the folder that holds the datasets")
    collecting.add_argument("--yes", action="store_true", help="remove what is listed")


def _add(commands: Any, name: str, command: Any, text: str, more: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.{more}"
    )
    parser.set_defaults(command=command)
    return parser


def _ls(options: argparse.Namespace) -> int:
    catalog = read_catalog(options.root)
    saved = catalog.save() if options.save else None
    if options.json:
        _say_json(_catalog_content(catalog))
        return 0
    _say(catalog_lines(catalog))
    if saved is not None:
        print(f"Written: {saved}")
    return 0


def _show(options: argparse.Namespace) -> int:
    described = describe_store(find_store(options.store))
    if options.json:
        _say_json(described)
    else:
        _say(store_lines(described))
    return 0


def _diff(options: argparse.Namespace) -> int:
    found = compare(find_store(options.first), find_store(options.second), values=options.values)
    if options.json:
        _say_json(_comparison_content(found))
    else:
        _say(comparison_lines(found))
    return found.verdict


def _card(options: argparse.Namespace) -> int:
    folder: StorePath = options.folder
    if not (folder.is_dir() and any(folder.glob("*.zarr"))):
        folder = find_store(folder).parent
    path = write_card(folder)
    if path is None:
        raise VadprobeError(
            f"{folder / 'README.md'} is not one that vadprobe wrote, so it was left alone; move it away to have a card."
        )
    print(f"Written: {path}")
    return 0


def _gc(options: argparse.Namespace) -> int:
    root: StorePath = options.root
    if not can_list(root):
        raise VadprobeError(f"{root} is on a web server, which lists nothing; run gc where that is a folder.")
    if not root.is_dir():
        raise VadprobeError(explain(root))
    found = find_garbage(root)
    if not options.yes:
        _say(leftover_lines(str(root), found))
        return 0
    removed = collect_garbage(found, tell=lambda message: print(message, flush=True))
    for one in removed:
        print(f"Removed: {one.path} ({size_text(one.n_bytes)}; {one.why})")
    for one in found:
        if one not in removed:
            print(f"Kept: {one.path} ({_kept(one)})")
    total = size_text(sum(one.n_bytes for one in removed))
    print(f"{counted(len(removed), 'leftover')} removed, {total}." if removed else "Nothing was removed.")
    return 0


def _kept(one: Garbage) -> str:
    return "its worker gave a sign of life" if one.verdict == "wait" else one.why


def _catalog_content(catalog: Catalog) -> dict[str, Any]:
    return {
        **catalog.to_json(),
        "root": str(catalog.root),
        "bytes": catalog.n_bytes,
        "notes": list(catalog.notes),
    }


def _comparison_content(found: Comparison) -> dict[str, Any]:
    values = None
    if found.values is not None:
        values = [
            {
                "array": array.name,
                "partitions_equal": array.equal,
                "partitions_differing": list(array.differing),
                "values_differing": array.n_values,
                "nan_in_one": array.one_sided,
                "largest_difference": None if math.isnan(array.largest) else _finite(array.largest),
                "row": array.row,
            }
            for array in found.values
        ]
    return {
        "a": str(found.first.path),
        "b": str(found.second.path),
        "verdict": ("same", "different", "cannot tell")[found.verdict],
        "specification": list(found.specification),
        "clips": list(found.clips),
        "contents": list(found.contents),
        "state": list(found.state),
        "failed_rows": list(found.failures),
        "values": values,
        "unknown": list(found.unknown),
    }


def _finite(value: float) -> float | str:
    """JSON has no infinity."""
    return value if math.isfinite(value) else str(value)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _say_json(content: dict[str, Any]) -> None:
    print(json.dumps(content, indent=1, sort_keys=True, allow_nan=False))
