"""``vadprobe pull`` and ``vadprobe push``: stores, or chosen parts of them, copied between places."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vadprobe.flows.progress import CountProgress
from vadprobe.flows.verify_command import stores_of
from vadprobe.store.durable import read_json
from vadprobe.store.errors import VadprobeError
from vadprobe.store.location import location
from vadprobe.store.reader import FeatureStore
from vadprobe.store.records import SPLITS
from vadprobe.store.transfer import Choice, Transfer, transfer

_DESCRIPTION = """Copy feature stores, or a part of them. Chunks are copied as they are stored and checked on the way; a
copy is a store like any other. An interrupted copy goes on when the command is given again. Rows come in partitions of
256 clips, as they are stored."""


def add_transfer_commands(commands: Any) -> None:
    """Add ``pull`` and ``push``."""
    for name, text, source, root in (
        ("pull", "copy stores, or parts of them, from elsewhere", "where to copy from", "the own root"),
        ("push", "copy stores, or parts of them, to where others find them", "what to copy", "the others' root"),
    ):
        parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {_DESCRIPTION}")
        parser.add_argument(
            "source", metavar="SOURCE", help=f"{source}: a store (...zarr), or a folder with stores, or a URL of one"
        )
        parser.add_argument("root", metavar="ROOT", help=f"{root}: a folder or a URL; below it all keeps its place")
        parser.add_argument("--layers", metavar="N,N", help="these layers of the hidden states; 0 is the embedding")
        parser.add_argument("--heads", metavar="B:H,B:H", help="these heads, each as block:head from 0")
        parser.add_argument("--detector", metavar="FILE", help="the layers or heads and the prompt of a detector")
        parser.add_argument("--videos", metavar="NAMES", help="names, separated by commas, or @FILE with one per line")
        parser.add_argument("--splits", metavar="SPLITS", help=f"videos of these splits ({', '.join(SPLITS)})")
        parser.add_argument("--prompts", metavar="KEYS", help="of a folder with several stores: these prompts alone")
        parser.set_defaults(command=_copy)


def _copy(options: argparse.Namespace) -> int:
    if options.detector and (options.layers or options.heads):
        raise VadprobeError("--detector names the layers or heads already; leave --layers and --heads out.")
    choice, prompt_digest = _choice(options)
    root = location(options.root)
    sources = [FeatureStore.open(path) for path in stores_of(location(options.source))]
    chosen = [store for store in sources if _is_wanted(store, options.prompts, prompt_digest)]
    if not chosen:
        found = ", ".join(sorted({store.spec.prompt.key for store in sources}))
        raise VadprobeError(f"no store below {options.source} is of the wanted prompt; there are the prompts {found}.")
    for store in chosen:
        choice.contents(store)  # what cannot be copied is said before anything is
    is_finished = True
    for store in chosen:
        done = transfer(store, root, choice, CountProgress(f"copying {store.spec.prompt.key}", "partition").report)
        print("\n".join(_lines(store, done)))
        is_finished &= not done.unwritten
    return 0 if is_finished else 1


def _choice(options: argparse.Namespace) -> tuple[Choice, str | None]:
    """The part that is wanted, and the text of the prompt that a detector reads."""
    layers = _numbers("--layers", options.layers)
    heads = _heads(options.heads)
    text = None
    if options.detector:
        detector = _detector(Path(options.detector))
        unit, indices = detector["selection"]["unit"], detector["selection"]["indices"]
        layers = tuple(index[0] for index in indices) if unit == "layer" else None
        heads = tuple((index[0], index[1]) for index in indices) if unit == "head" else None
        text = detector["features"]["prompt"]["text"]
    splits = tuple(_words(options.splits)) if options.splits is not None else None
    for split in splits or ():
        if split not in SPLITS:
            raise VadprobeError(f"--splits names {split!r}; {', '.join(SPLITS)} are wanted.")
    return Choice(layers, heads, _videos(options.videos), splits), text


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
    return prompts is None or store.spec.prompt.key in _words(prompts)


def _videos(given: str | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not given.startswith("@"):
        return tuple(_words(given))
    path = Path(given[1:])
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VadprobeError(
            f"--videos: {path} cannot be read ({error}); a text file with one name per line is wanted."
        ) from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise VadprobeError(f"--videos: {path} names no video.")
    return names


def _heads(given: str | None) -> tuple[tuple[int, int], ...] | None:
    if given is None:
        return None
    heads = []
    for word in _words(given):
        block, separator, head = word.partition(":")
        if not (separator and block.isdecimal() and head.isdecimal()):
            raise VadprobeError(f"--heads has {word!r}; block:head is wanted, for example 14:3,20:7.")
        heads.append((int(block), int(head)))
    return tuple(heads)


def _numbers(name: str, given: str | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    for word in _words(given):
        if not word.isdecimal():
            raise VadprobeError(f"{name} has {word!r}; whole numbers from 0, separated by commas, are wanted.")
    return tuple(int(word) for word in _words(given))


def _words(given: str) -> Sequence[str]:
    return [word.strip() for word in given.split(",") if word.strip()]


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
    return (min(256 * (number + 1), n_clips) - 256 * number for number in done.writer.partitions)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
