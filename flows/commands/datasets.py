"""The commands dataset audit and dataset prepare."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from vadprobe.flows.commands.options import DatasetOptions, JsonFile, print_json
from vadprobe.flows.jobs.progress import Bar
from vadprobe.store.datasets.audit import Audit
from vadprobe.store.datasets.audit import audit as audit_dataset
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.datasets.dataset import write_manifest
from vadprobe.store.datasets.dataset_card import dataset_card
from vadprobe.store.datasets.joining import Finding
from vadprobe.store.datasets.probed_videos import VideoFacts
from vadprobe.store.datasets.sources import REFUSED, read_source
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_bytes, write_json
from vadprobe.store.files.text import counted


def dataset_audit(*, dataset: DatasetOptions = DatasetOptions(), decode: bool = False, json: JsonFile = None) -> int:
    """Say what was found in a dataset and what is wrong.

    Read everything, change nothing. Exit code 1 if something would change a score.

    Example: vadprobe dataset audit --format folder --videos my-videos

    Args:
        decode: decode every video to count its frames (slow)
        json: also write the audit as JSON; '-' prints only JSON
    """
    found = _audit(dataset, decode)
    if str(json) == "-":
        print_json(found.to_json())
    else:
        print("\n".join(found.lines()))
        if json is not None:
            write_json(json, found.to_json())
    return int(found.changes_score)


def dataset_prepare(*, out: Path, dataset: DatasetOptions = DatasetOptions(), decode: bool = False) -> int:
    """Write a dataset as a manifest with its card.

    The folder gets videos.parquet, intervals.parquet, audit.json and dataset_card.md.

    Example: vadprobe dataset prepare --out manifest --format xd-violence --annotations xd --videos videos

    Args:
        out: the folder of the manifest
        decode: decode every video to count its frames (slow)
    """
    found = _audit(dataset, decode)
    print("\n".join(found.lines()))
    contradictions = [finding for finding in found.findings if finding.kind in REFUSED]
    if contradictions:
        raise VadprobeError(
            f"the dataset has {counted(len(contradictions), 'contradiction')}, so nothing was written; correct "
            "what is marked above."
        )
    write_manifest(found.dataset, out)
    write_json(out / "audit.json", found.to_json())
    write_bytes(out / "dataset_card.md", dataset_card(found).encode())
    print(f"Written: {out / 'videos.parquet'}, intervals.parquet, audit.json, dataset_card.md")
    return 0


def _audit(dataset: DatasetOptions, decode: bool) -> Audit:
    config, workspace = dataset.section()
    probed, findings = _count(config, workspace, decode)
    found = audit_dataset(config, workspace, probed)
    everything = sorted((*found.findings, *findings), key=lambda finding: not finding.changes_score)
    return replace(found, findings=tuple(everything))


def _count(
    config: DatasetConfig, workspace: Path, decode: bool
) -> tuple[tuple[VideoFacts, ...] | None, tuple[Finding, ...]]:
    """Open the video files and count their frames, if there are files and stage 1 is installed.

    Returns:
        The facts of the videos, None if nothing was opened, and what was found.
    """
    if config.videos is None:
        if decode:
            raise VadprobeError("--decode needs the video files; give --videos.")
        return None, ()
    if find_spec("av") is None:
        message = "the video files were not opened, because stage 1 is not installed: pip install 'vadprobe[extract]'"
        return None, (Finding("files not opened", message, False),)
    from vadprobe.extract.video.frame_counting import count_frames

    parts = read_source(config, workspace).parts
    progress = Bar("counting frames", "video")
    return count_frames(parts.folder, parts.files or {}, decode=decode, progress=progress)
