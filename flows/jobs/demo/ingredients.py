"""Ingredients of the demo: the job files of its presets, two generated sets, and the backbone."""

import shutil
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from vadprobe.extract.demo.captioner.making import shipped_captioner
from vadprobe.extract.demo.surveillance import make_surveillance_set
from vadprobe.extract.model.checkpoint.card import BACKBONE_CARD, read_card
from vadprobe.flows.jobs.progress import Bar
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import DEMO_CAPTIONER

BACKBONE = "demo-captioner"
"""Key of the demo's backbone, and its folder below `backbones`."""

FIRST_SET, SECOND_SET = "surveillance", "surveillance-second"
_WORKERS = 2


@dataclass(frozen=True)
class Size:
    """Number of videos of both sets, and shortest and longest duration in seconds (None for the generator's own)."""

    n_videos: int = 176
    n_second: int = 80
    seconds: tuple[float, float] | None = None


def preset(name: str) -> AbstractContextManager[Path]:
    """Return a context with the path of a shipped job file."""
    return as_file(files("vadprobe.configs") / f"{name}.toml")


def make_set(folder: Path, seed: int, n_videos: int, seconds: tuple[float, float] | None) -> None:
    """Draw a set of videos; videos of an earlier run are kept."""
    progress = Bar(f"drawing {folder.name}", "video")
    make_surveillance_set(folder, seed=seed, n_videos=n_videos, seconds=seconds, workers=_WORKERS, progress=progress)


def install_backbone(folder: Path, source: Path | None = None) -> dict[str, Any]:
    """Copy a backbone into `folder`; if it holds the same backbone, leave it as it is.

    Args:
        folder: folder where the demo's jobs look for the backbone.
        source: a checkpoint of 'vadprobe make-demo-backbone'; by default the shipped one.

    Returns:
        The backbone's card.

    Raises:
        VadprobeError: if there is no such checkpoint, it is no demo backbone, or the folder holds another backbone.
    """
    with ExitStack() as stack:
        source = source or stack.enter_context(shipped_captioner())
        card = read_card(source)
        if card is None or card["kind"] != DEMO_CAPTIONER:
            raise VadprobeError(
                f"{source} must hold a demo backbone, one with a {BACKBONE_CARD} of the kind {DEMO_CAPTIONER!r}, got "
                f"{'no card' if card is None else repr(card['kind'])}; make one with 'vadprobe make-demo-backbone "
                "FOLDER --work FOLDER' and name it with --backbone."
            )
        if not folder.exists():
            part = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(source, part)
            part.replace(folder)
        elif read_card(folder) != card:
            raise VadprobeError(f"{folder} must hold the backbone of {source}, got another one. Name another --out.")
        return card
