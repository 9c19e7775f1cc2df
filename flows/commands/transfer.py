"""``vadprobe pull | push | compact``: stores, or chosen parts of them, copied between places."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vadprobe.flows.commands.options import head_list, number_list, place, stores_of, video_names, word_list
from vadprobe.flows.jobs.progress import CountProgress
from vadprobe.store.datasets.video import SPLITS
from vadprobe.store.errors import VadprobeError
from vadprobe.store.exchange.compaction import ROWS, compact
from vadprobe.store.exchange.transfer import Choice, Transfer, transfer
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.reading.feature_store import FeatureStore

_DESCRIPTION = """Copy feature stores, or a part of them. Chunks are copied as they are stored and checked on the way; a
copy is a store like any other. An interrupted copy goes on when the command is given again. Rows come in partitions of
256 clips, as they are stored."""


def add_transfer_commands(commands: Any) -> None:
    """Add ``pull``, ``push`` and ``compact``."""
    for name, text, source, root in (
        ("pull", "copy stores, or parts of them, from elsewhere", "where to copy from", "the own root"),
        ("push", "copy stores, or parts of them, to where others find them", "what to copy", "the others' root"),
    ):
        parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {_DESCRIPTION}")
        parser.add_argument(
            "source",
            type=place,
            metavar="SOURCE",
            help=f"{source}: a store (...zarr), or a folder with stores, or a URL of one",
        )
        parser.add_argument(
            "root", type=place, metavar="ROOT", help=f"{root}: a folder or a URL; below it all keeps its place"
        )
        _add_parts(parser)
        parser.add_argument("--videos", metavar="NAMES", help="names, separated by commas, or @FILE with one per line")
        parser.add_argument("--splits", metavar="SPLITS", help=f"videos of these splits ({', '.join(SPLITS)})")
        parser.set_defaults(command=_copy)
    _add_compact(commands)


def _add_compact(commands: Any) -> None:
    text = "copy stores into larger partitions, for fast reads of single layers and heads"
    parser = commands.add_parser(
        "compact",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. The copy is a store like any other; reading all heads of a few rows "
        "is slow there.",
    )
    parser.add_argument(
        "source", type=place, metavar="SOURCE", help="a store (...zarr), or a folder with stores, or a URL of one"
    )
    parser.add_argument("root", type=place, metavar="ROOT", help="where the copy goes: a folder or a URL")
    _add_parts(parser)
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N", help=f"rows of a partition; default {ROWS}")
    parser.set_defaults(command=_compact, videos=None, splits=None)


def _add_parts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--layers", metavar="N,N", help="these layers of the hidden states; 0 is the embedding")
    parser.add_argument("--heads", metavar="B:H,B:H", help="these heads, each as block:head from 0")
    parser.add_argument("--detector", metavar="FILE", help="the layers or heads and the prompt of a detector")
    parser.add_argument("--prompts", metavar="KEYS", help="of a folder with several stores: these prompts alone")


def _compact(options: argparse.Namespace) -> int:
    if options.rows < 1:
        raise VadprobeError(f"--rows is {options.rows}; a whole number from 1 is wanted.")
    choice, chosen = _chosen(options)
    for store in chosen:
        progress = CountProgress(f"compacting {store.spec.prompt.key}", "partition").report
        print("\n".join(_lines(store, compact(store, options.root, choice, options.rows, progress))))
    return 0


def _copy(options: argparse.Namespace) -> int:
    choice, chosen = _chosen(options)
    root = options.root
    is_finished = True
    for store in chosen:
        done = transfer(store, root, choice, CountProgress(f"copying {store.spec.prompt.key}", "partition").report)
        print("\n".join(_lines(store, done)))
        is_finished &= not done.unwritten
    return 0 if is_finished else 1


def _chosen(options: argparse.Namespace) -> tuple[Choice, list[FeatureStore]]:
    """The part that is wanted, and the stores of which it is; what cannot be had is said before anything is copied."""
    if options.detector and (options.layers or options.heads):
        raise VadprobeError("--detector names the layers or heads already; leave --layers and --heads out.")
    choice, text = _choice(options)
    sources = [FeatureStore.open(path) for path in stores_of(options.source)]
    chosen = [store for store in sources if _is_wanted(store, options.prompts, text)]
    if not chosen:
        found = ", ".join(sorted({store.spec.prompt.key for store in sources}))
        raise VadprobeError(f"no store below {options.source} is of the wanted prompt; there are the prompts {found}.")
    for store in chosen:
        choice.contents(store)
    return choice, chosen


def _choice(options: argparse.Namespace) -> tuple[Choice, str | None]:
    """The part that is wanted, and the text of the prompt that a detector reads."""
    layers = number_list("--layers", options.layers)
    heads = head_list(options.heads)
    text = None
    if options.detector:
        detector = _detector(Path(options.detector))
        unit, indices = detector["selection"]["unit"], detector["selection"]["indices"]
        layers = tuple(index[0] for index in indices) if unit == "layer" else None
        heads = tuple((index[0], index[1]) for index in indices) if unit == "head" else None
        text = detector["features"]["prompt"]["text"]
    splits = tuple(word_list(options.splits)) if options.splits is not None else None
    for split in splits or ():
        if split not in SPLITS:
            raise VadprobeError(f"--splits names {split!r}; {', '.join(SPLITS)} are wanted.")
    return Choice(layers, heads, video_names(options.videos), splits), text


def _detector(path: Path) -> dict[str, Any]:
    """A detector's file, read without the libraries of the analysis."""
    try:
        value = read_json(path)
        _ = value["selection"]["unit"], value["selection"]["indices"], value["features"]["prompt"]["text"]
    except FileNotFoundError as error:
        raise VadprobeError(f"there is no detector {path}; an analysis writes it as detector.json.") from error
    except (KeyError, TypeError) as error:
        raise VadprobeError(f"{path} is no detector: it lacks {error}.") from error
    return dict(value)


def _is_wanted(store: FeatureStore, prompts: str | None, text: str | None) -> bool:
    if text is not None and (store.spec.prompt.text != text or store.spec.sampling.unit != "segment"):
        return False
    return prompts is None or store.spec.prompt.key in word_list(prompts)


def _lines(source: FeatureStore, done: Transfer) -> Iterator[str]:
    writer = done.writer
    rows = sum(_rows_of(done))
    yield (
        f"{writer.path}: {done.n_copied} of {writer.n_partitions} partitions copied"
        + (f", {done.n_before} were there" if done.n_before else "")
        + f"; {rows} rows, {done.n_bytes / 1e6:.1f} MB. {_capital(writer.contents.describe())}."
    )
    if done.unwritten:
        yield (
            f"{source.path} is not finished: {len(done.unwritten)} partitions are not written there yet. Give the same "
            "command again when they are."
        )


def _rows_of(done: Transfer) -> Iterable[int]:
    n_clips = len(done.writer.clips)
    rows = (done.writer.contents.rows(number, n_clips) for number in done.writer.partitions)
    return (one.stop - one.start for one in rows)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
