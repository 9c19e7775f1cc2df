"""The commands pull, push and compact: stores, or parts of them, copied to another place."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import Parameter

from vadprobe.flows.commands.options import Heads, Names, Numbers, Place, Positive, VideoNames, stores_of
from vadprobe.flows.jobs.progress import Bar
from vadprobe.store.datasets.video import SPLITS
from vadprobe.store.errors import VadprobeError
from vadprobe.store.exchange.compaction import ROWS
from vadprobe.store.exchange.compaction import compact as compact_store
from vadprobe.store.exchange.hub_push import push_to_hub
from vadprobe.store.exchange.transfer import Choice, Transfer, transfer
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.files.location import StorePath, is_remote
from vadprobe.store.files.text import counted, size_text
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.reading.feature_store import FeatureStore


@Parameter(name="*")
@dataclass(frozen=True)
class PartOptions:
    """Options that choose a part of every store."""

    layers: Numbers = None
    """these layers of the hidden states; 0 is the embedding"""
    heads: Heads = None
    """these heads, each as block:head from 0"""
    detector: Path | None = None
    """the layers or heads and the prompt of a detector"""
    prompts: Names = None
    """where a folder has several stores: those of these prompts alone"""

    def __post_init__(self) -> None:
        if self.detector and (self.layers or self.heads):
            raise VadprobeError("--detector names the layers or heads already; leave --layers and --heads out.")


@Parameter(name="*")
@dataclass(frozen=True)
class RowOptions:
    """Options that choose videos."""

    videos: VideoNames = None
    """names, separated by commas, or @FILE with one per line"""
    splits: Names = None
    """videos of these splits (train, validation, test)"""

    def __post_init__(self) -> None:
        for split in self.splits or ():
            if split not in SPLITS:
                raise VadprobeError(f"--splits must be some of {', '.join(SPLITS)}, got {split!r}.")


def pull(source: Place, root: Place, /, *, parts: PartOptions = PartOptions(), rows: RowOptions = RowOptions()) -> int:
    """Copy stores, or parts of them, from elsewhere.

    Chunks are copied as they are stored and checked on the way; a copy is a store like any other. An interrupted copy
    goes on when the command is given again. Rows come in partitions of 256 clips, as they are stored.

    Example: vadprobe pull s3://bucket/features features --heads 14:3,20:7

    Args:
        source: where to copy from: a store (...zarr), or a folder with stores, or a URL of one
        root: your root: a folder or a URL; each store keeps its path below it
    """
    return _copy(source, root, parts, rows)


def push(source: Place, root: Place, /, *, parts: PartOptions = PartOptions(), rows: RowOptions = RowOptions()) -> int:
    """Copy stores, or parts of them, to where others find them.

    Chunks are copied as they are stored and checked on the way; a copy is a store like any other. An interrupted copy
    goes on when the command is given again. Rows come in partitions of 256 clips, as they are stored.

    A repository of the Hugging Face Hub takes each store as one commit, made of a copy in the folder of TMPDIR.

    Example: vadprobe push features s3://bucket/features

    Args:
        source: what to copy: a store (...zarr), or a folder with stores, or a URL of one
        root: the root to copy to: a folder or a URL; each store keeps its path below it
    """
    return _copy(source, root, parts, rows)


def compact(source: Place, root: Place, /, *, parts: PartOptions = PartOptions(), rows: Positive = ROWS) -> int:
    """Copy stores into larger partitions, for fast reads of single layers and heads.

    The copy is a store like any other; reading all heads of a few rows is slow there.

    Example: vadprobe compact features s3://bucket/features

    Args:
        source: a store (...zarr), or a folder with stores, or a URL of one
        root: the folder or URL of the copy
        rows: rows of a partition
    """
    choice, chosen = _chosen(source, parts, RowOptions())
    for store in chosen:
        progress = Bar(f"compacting {store.spec.prompt.key}", "partition")
        print("\n".join(_lines(store, compact_store(store, root, choice, rows, progress), root)))
    return 0


def _copy(source: StorePath, root: StorePath, parts: PartOptions, rows: RowOptions) -> int:
    choice, chosen = _chosen(source, parts, rows)
    is_finished = True
    for store in chosen:
        progress = Bar(f"copying {store.spec.prompt.key}", "partition")
        if is_remote(root) and root.is_on_hub:
            done = push_to_hub(store, root, choice, progress)
        else:
            done = transfer(store, root, choice, progress)
        print("\n".join(_lines(store, done, root)))
        is_finished &= not done.unwritten
    return 0 if is_finished else 1


def _chosen(source: StorePath, parts: PartOptions, rows: RowOptions) -> tuple[Choice, list[FeatureStore]]:
    """Return the part and the stores to take it from, after checking that each of them has it."""
    layers, heads, asked = parts.layers, parts.heads, None
    if parts.detector:
        detector = _detector(parts.detector)
        unit, indices = detector["selection"]["unit"], detector["selection"]["indices"]
        layers = tuple(index[0] for index in indices) if unit == "layer" else None
        heads = tuple((index[0], index[1]) for index in indices) if unit == "head" else None
        asked = Prompt(**detector["features"]["prompt"])
    choice = Choice(layers, heads, rows.videos, rows.splits)
    sources = [FeatureStore.open(path) for path in stores_of(source)]
    chosen = [store for store in sources if _is_wanted(store, parts.prompts, asked)]
    if not chosen:
        found = ", ".join(sorted({store.spec.prompt.key for store in sources}))
        raise VadprobeError(f"no store below {source} is of the wanted prompt; there are the prompts {found}.")
    for store in chosen:
        choice.contents(store)
    return choice, chosen


def _detector(path: Path) -> dict[str, Any]:
    """Read a detector's file without the libraries of the analysis."""
    try:
        value = read_json(path)
        _ = value["selection"]["unit"], value["selection"]["indices"], Prompt(**value["features"]["prompt"])
    except FileNotFoundError as error:
        raise VadprobeError(f"there is no detector {path}; an analysis writes it as detector.json.") from error
    except (KeyError, TypeError) as error:
        raise VadprobeError(f"{path} is no detector: it lacks {error}.") from error
    return dict(value)


def _is_wanted(store: FeatureStore, prompts: tuple[str, ...] | None, asked: Prompt | None) -> bool:
    mine = store.spec.prompt
    if asked is not None and store.spec.sampling.unit != "segment":
        return False
    if asked is not None and not (mine.asks_as(asked) and mine.position == asked.position):
        return False
    return prompts is None or store.spec.prompt.key in prompts


def _lines(source: FeatureStore, done: Transfer, root: StorePath) -> Iterator[str]:
    writer = done.writer
    path = root / writer.path.relative_to(writer.path.parents[3])
    described = writer.contents.describe()
    yield (
        f"{path}: {done.n_copied} of {counted(writer.n_partitions, 'partition')} copied"
        + (f", {done.n_before} were there" if done.n_before else "")
        + f"; {counted(sum(_rows_of(done)), 'row')}, {size_text(done.n_bytes)}. {described[0].upper()}{described[1:]}."
    )
    if done.unwritten and source.refused:
        yield (
            f"{source.path}: {counted(len(source.refused), 'partition')} may not be read, or are not written yet: "
            f"{next(iter(source.refused.values()))}."
        )
    elif done.unwritten:
        yield (
            f"{source.path} is not finished and lacks {counted(len(done.unwritten), 'partition')}. Give the same "
            "command again when it is."
        )


def _rows_of(done: Transfer) -> Iterable[int]:
    n_clips = len(done.writer.clips)
    rows = (done.writer.contents.rows(number, n_clips) for number in done.writer.partitions)
    return (one.stop - one.start for one in rows)
