"""``vadprobe export`` and ``vadprobe import headhunt``: features for, and from, other programs."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vadprobe.flows.commands.options import head_list, number_list, video_names, word_list
from vadprobe.flows.jobs.progress import CountProgress
from vadprobe.store.catalog.store_card import write_card
from vadprobe.store.datasets.annotations.frame_counts import read_frame_counts
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.exchange.export import Exported, Report, export
from vadprobe.store.exchange.export_choice import ARRAYS, FORMATS, ExportChoice
from vadprobe.store.exchange.export_folder import INDEX
from vadprobe.store.exchange.headhunt_files import FEATURE_KEYS, SUFFIX, Layout
from vadprobe.store.exchange.headhunt_import import UNKNOWN, HeadHuntImport, Imported, import_headhunt
from vadprobe.store.files.location import location
from vadprobe.store.format.prompts import SHIPPED, Prompt, shipped
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.reading.feature_store import FeatureStore


def add_exchange_commands(commands: Any) -> None:
    """Add ``export`` and ``import``."""
    parser = commands.add_parser(
        "export",
        help="write a store's features as .npy or safetensors, one file per video",
        description="Write a store's features as plain files, one for each video, with an index of what they are. An "
        "interrupted export goes on when the command is given again. Failed rows are NaN; the index says why.",
    )
    parser.set_defaults(command=_export)
    parser.add_argument("store", metavar="STORE", help="a feature store (...zarr), or a URL of one")
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
    importing = commands.add_parser("import", help="make a store of features that other programs computed")
    kinds = importing.add_subparsers(title="formats", required=True, dest="import_name", metavar="FORMAT")
    _add_headhunt(kinds)


def _add_headhunt(kinds: Any) -> None:
    parser = kinds.add_parser(
        "headhunt",
        help=f"the pickles of HeadHunt-VAD's public code (<video>{SUFFIX})",
        description=f"Read the pickles of HeadHunt-VAD's public code, <video>{SUFFIX}, each with one tensor (layers, "
        "heads * head_dim), as data: nothing in them is run, and torch is not needed. The store holds all heads, no "
        "hidden states and no answer logits. The labels go into labels.csv beside it, a table for --format manifest. "
        "Import each prompt's folder on its own. Exit code 1 if a file gave no row.",
    )
    parser.set_defaults(command=_import_headhunt)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder of one prompt's pickles")
    parser.add_argument("--root", required=True, metavar="ROOT", help="the folder of the stores, or its URL")
    parser.add_argument("--dataset", required=True, metavar="NAME", help="name of the dataset")
    parser.add_argument("--backbone", required=True, metavar="KEY", help="a key for the model, such as internvl3-8b")
    parser.add_argument("--heads", type=int, required=True, metavar="N", help="heads of a layer: 28 of InternVL3-8B")
    parser.add_argument("--prompt", required=True, metavar="KEY", help=f"of {', '.join(SHIPPED)}; or any, with a text")
    parser.add_argument("--prompt-text", metavar="TEXT", help="what the model was asked, if it is no shipped prompt")
    parser.add_argument("--source", default=UNKNOWN, metavar="ID", help="where the weights are from: a hub id")
    parser.add_argument("--revision", default=UNKNOWN, metavar="REVISION", help="of the weights")
    parser.add_argument("--hidden-size", type=int, metavar="N", help="of the model; default: heads * head_dim")
    parser.add_argument(
        "--clip-length",
        type=int,
        metavar="FRAMES",
        help="the files hold segments of so many frames, in order; default: one vector for a whole video",
    )
    parser.add_argument(
        "--frames-per-clip", type=int, default=16, metavar="N", help="frames the model saw; default: 16"
    )
    parser.add_argument("--frame-counts", type=Path, metavar="CSV", help="table of video,frames; default: unknown")
    parser.add_argument(
        "--key", metavar="KEY", help=f"of the tensor, if there are several of {', '.join(FEATURE_KEYS)}"
    )
    parser.add_argument("--normal-labels", metavar="WORDS", help="labels that mean normal; default: A, 0, *normal*")


def _import_headhunt(options: argparse.Namespace) -> int:
    if options.heads < 1:
        raise VadprobeError(f"--heads is {options.heads}; a whole number from 1 is wanted.")
    counts = None
    if options.frame_counts is not None:
        counts = {count.video_id: count.n_frames for count in read_frame_counts(options.frame_counts).checked()}
    length = options.clip_length
    settings = HeadHuntImport(
        dataset=options.dataset,
        backbone=options.backbone,
        prompt=shipped(options.prompt) if options.prompt_text is None else Prompt(options.prompt, options.prompt_text),
        sampling=Sampling("video" if length is None else "segment", length, options.frames_per_clip),
        layout=Layout(options.heads, options.key, segments=length is not None),
        source=options.source,
        revision=options.revision,
        hidden_size=options.hidden_size,
        frame_counts=counts,
        normal_labels=tuple(word_list(options.normal_labels or "")),
    )
    done = import_headhunt(
        options.folder,
        location(options.root),
        settings,
        CountProgress("reading", "file").report,
        CountProgress("writing", "partition").report,
    )
    try:
        write_card(done.store.parent)
    except StoreError as error:
        print(f"{error} (the store is whole without it; 'vadprobe card {done.store.parent}' writes it later)")
    print("\n".join(_import_lines(done, counts is None)))
    return 1 if done.left_out else 0


def _import_lines(done: Imported, without_frames: bool) -> Iterator[str]:
    yield f"{done.store}: {done.n_videos} videos, {done.n_rows} rows; all heads, no hidden states, no answer logits."
    yield f"{done.labels}: labels, which no store holds; read it with --format manifest --annotations."
    if without_frames:
        yield "The files do not say how many frames a video has; give --frame-counts to compare with frame labels."
    for what, reasons in (("failed rows (NaN)", done.failed), ("left out", done.left_out)):
        for reason in reasons:
            yield f"{what}: {reason}"


def _export(options: argparse.Namespace) -> int:
    choice = ExportChoice(
        format=options.format,
        layers=_some("--layers", number_list("--layers", options.layers)),
        heads=_some("--heads", head_list(options.heads)),
        arrays=_some("--arrays", None if options.arrays is None else tuple(word_list(options.arrays))),
        videos=_some("--videos", video_names(options.videos)),
    )
    store = FeatureStore.open(location(options.store))
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
