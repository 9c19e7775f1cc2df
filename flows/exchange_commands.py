"""``vadprobe export`` and ``vadprobe import headhunt``: features for, and from, other programs."""

import argparse
from pathlib import Path
from typing import Any

from vadprobe.flows.part_options import head_list, number_list, video_names, word_list
from vadprobe.flows.progress import CountProgress
from vadprobe.store.errors import VadprobeError
from vadprobe.store.export import ARRAYS, FORMATS, INDEX, ExportChoice, Exported, Report, export
from vadprobe.store.reader import FeatureStore


def add_exchange_commands(commands: Any) -> None:
    """Add ``export`` and ``import``."""
    parser = commands.add_parser(
        "export",
        help="write a store's features as .npy or safetensors, one file per video",
        description="Write a store's features as plain files, one for each video, with an index of what they are. An "
        "interrupted export goes on when the command is given again. Failed rows are NaN; the index says why.",
    )
    parser.set_defaults(command=_export)
    parser.add_argument("store", type=Path, metavar="STORE", help="a feature store (...zarr)")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder of the files; new, empty, or of this export")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        required=True,
        help="npy: a folder for each array, bfloat16 as float32; safetensors: a file for each video, bfloat16 as it is",
    )
    parser.add_argument("--layers", metavar="N,N", help="these layers of the hidden states; 0 is the embedding")
    parser.add_argument("--heads", metavar="B:H,B:H", help="these heads, each as block:head from 0")
    parser.add_argument("--videos", metavar="NAMES", help="names, separated by commas, or @FILE with one per line")
    parser.add_argument("--arrays", metavar="NAMES", help=f"some of {','.join(ARRAYS)}; default: what the store holds")


def _export(options: argparse.Namespace) -> int:
    choice = ExportChoice(
        format=options.format,
        layers=_some("--layers", number_list("--layers", options.layers)),
        heads=_some("--heads", head_list(options.heads)),
        arrays=_some("--arrays", None if options.arrays is None else tuple(word_list(options.arrays))),
        videos=_some("--videos", video_names(options.videos)),
    )
    store = FeatureStore.open(options.store)
    print("\n".join(_export_lines(options.out, export(store, options.out, choice, _progress("exporting")))))
    return 0


def _progress(what: str) -> Report:
    return CountProgress(what, "video").report


def _some(option: str, given: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    if given is not None and not given:
        raise VadprobeError(f"{option} is empty; name something, or leave it out for everything.")
    return given


def _export_lines(out: Path, done: Exported) -> list[str]:
    lines = [
        f"{out}: {done.n_written} videos written ({done.n_bytes / 1e6:.1f} MB)"
        + (f", {done.n_kept} were there" if done.n_kept else "")
        + f"; {done.n_rows} rows"
        + (f", {done.n_failed} of them failed (NaN; the reasons are in {INDEX})" if done.n_failed else "")
        + "."
    ]
    if done.renamed:
        lines.append(f"{done.renamed} videos have names that are none for files; {INDEX} says which file is whose.")
    if done.left_out:
        lines.append(f"{done.left_out} videos are left out: the store is a part of another and lacks rows of them.")
    return lines
