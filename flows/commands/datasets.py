"""``vadprobe dataset audit | prepare``."""

import argparse
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vadprobe.flows.commands.options import add_dataset_options, dataset_of
from vadprobe.flows.jobs.progress import CountProgress
from vadprobe.store.datasets.audit import Audit, audit
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.dataset import write_manifest
from vadprobe.store.datasets.dataset_card import dataset_card
from vadprobe.store.datasets.joining import Finding
from vadprobe.store.datasets.probed_videos import VideoFacts
from vadprobe.store.datasets.sources import REFUSED, read_source
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_bytes, write_json


def add_dataset_commands(commands: Any) -> None:
    """Add ``dataset`` with its own commands."""
    dataset = commands.add_parser("dataset", help="look at a dataset before anything is computed on it")
    inner = dataset.add_subparsers(title="commands", required=True, dest="dataset_name", metavar="COMMAND")
    checking = inner.add_parser(
        "audit",
        help="say what was found and what is wrong",
        description="Read everything, change nothing. Exit code 1 if something would change a score.",
    )
    checking.set_defaults(command=_audit)
    checking.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the audit as JSON; '-' prints only JSON"
    )
    preparing = inner.add_parser(
        "prepare",
        help="write the dataset as a manifest with its card",
        description="Write videos.parquet, intervals.parquet, audit.json and dataset_card.md into a folder.",
    )
    preparing.set_defaults(command=_prepare)
    preparing.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the manifest goes")
    for parser in (checking, preparing):
        add_dataset_options(parser)
        parser.add_argument("--decode", action="store_true", help="decode every video to count its frames (slow)")


def _audit(options: argparse.Namespace) -> int:
    found = _run(options)
    if options.json is not None and str(options.json) == "-":
        print(json.dumps(found.to_json(), indent=1, sort_keys=True))
    else:
        print("\n".join(found.lines()))
        if options.json is not None:
            write_json(options.json, found.to_json())
    return int(found.changes_score)


def _prepare(options: argparse.Namespace) -> int:
    found = _run(options)
    blocking = [finding for finding in found.findings if finding.kind in REFUSED]
    if blocking:
        print("\n".join(found.lines()))
        raise VadprobeError(
            f"the dataset has {len(blocking)} contradictions, so nothing was written; correct what is marked above."
        )
    write_manifest(found.dataset, options.out)
    write_json(options.out / "audit.json", found.to_json())
    write_bytes(options.out / "dataset_card.md", dataset_card(found).encode())
    print("\n".join(found.lines()))
    print(f"Written: {options.out / 'videos.parquet'}, intervals.parquet, audit.json, dataset_card.md")
    return 0


def _run(options: argparse.Namespace) -> Audit:
    config, workspace = dataset_of(options)
    probed, findings = _count(config, workspace, options.decode)
    found = audit(config, workspace, probed)
    everything = sorted((*found.findings, *findings), key=lambda finding: not finding.changes_score)
    return replace(found, findings=tuple(everything))


def _count(
    config: DatasetConfig, workspace: Path, decode: bool
) -> tuple[tuple[VideoFacts, ...] | None, tuple[Finding, ...]]:
    """Open the video files, where there are any and stage 1 is installed."""
    if config.videos is None:
        if decode:
            raise VadprobeError("--decode needs the video files; give --videos.")
        return None, ()
    if find_spec("decord") is None or find_spec("av") is None:
        message = "the video files were not opened, because stage 1 is not installed: pip install 'vadprobe[extract]'"
        return None, (Finding("files not opened", message, False),)
    from vadprobe.extract.video.frame_counting import count_frames

    parts = read_source(config, workspace).parts
    progress = CountProgress("counting frames", "video")
    return count_frames(parts.folder, parts.files or {}, decode=decode, progress=progress.report)
