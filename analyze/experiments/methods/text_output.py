"""Scores from a backbone's texts about segments: the probability of given words, and whether one is in the text."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from vadprobe.analyze.locator.smoothing import MIRRORED, Smoothing, smooth
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.parquet import metadata_in, read_parquet
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.specification import FeatureSpec

TEXTS = "texts.parquet"
"""Name of the file of texts beside an analysis; its metadata says how they were made (`TEXTS_RECIPE`)."""

TEXTS_RECIPE = "texts"

VERSION = 2
"""Version of how texts and probabilities are computed; texts of another version are generated anew."""

HOW = (
    "Text output: the backbone's own greedy text about each segment. p is 1 - prod(1 - m) over the steps "
    "of the text; m is the probability mass of the tokens that are an event's word."
)
"""Explanation of the scores from texts, for readers of a table."""


@dataclass(frozen=True, eq=False)
class TextOutput:
    """Scores from the texts of a job's segments: names of videos, half-open frames, probabilities and decisions.

    `probabilities` and `says_event`, (n,) float64, are NaN if a segment could not be read. `words` are those of the
    job; empty for those that the demo's captioner was taught.
    """

    video_ids: tuple[str, ...]
    start_frames: np.ndarray
    stop_frames: np.ndarray
    probabilities: np.ndarray
    says_event: np.ndarray
    words: tuple[str, ...] = ()

    def smoothed(self, sigma: float, smoothing: Smoothing = MIRRORED) -> np.ndarray:
        """Return the probabilities, smoothed within each video by a method's smoothing, (n,) float64."""
        _, codes = np.unique(self.video_ids, return_inverse=True)
        order = np.lexsort((self.start_frames, codes))
        found = np.empty(len(order))
        found[order] = smooth(self.probabilities[order], sigma, codes[order], smoothing)
        return found

    def notes(self, label: str) -> tuple[str, ...]:
        """Return notes on how the scores are computed; `label` names the texts."""
        words = (f"Words of an event in {label!r}: {', '.join(self.words)}.",) if self.words else ()
        return (HOW, *words)

    def check_whole(self, clips: ClipTable, rows: np.ndarray) -> None:
        """Check that every given segment has a row, also one that could not be read.

        Args:
            clips: the table of the segments.
            rows: (n,) rows of the table.

        Raises:
            VadprobeError: if a segment is missing, for example after an interrupted run.
        """
        there = set(zip(self.video_ids, self.start_frames.tolist(), self.stop_frames.tolist(), strict=True))
        names = [clips.video_ids[code] for code in clips.video_codes[rows]]
        wanted = list(zip(names, clips.start_frames[rows].tolist(), clips.stop_frames[rows].tolist(), strict=True))
        every, missing = set(names), {place[0] for place in wanted if place not in there}
        if missing:
            raise VadprobeError(
                f"the texts must be of all {len(every)} test videos, got {len(every) - len(missing)}; run "
                "'vadprobe describe' again."
            )


def read_texts(path: Path, spec: FeatureSpec) -> TextOutput:
    """Read a job's texts.

    Raises:
        VadprobeError: if there are none, or if clips, backbone or version differ from those of the features.
    """
    try:
        table = read_parquet(path)
    except FileNotFoundError as error:
        raise VadprobeError(f"there are no texts {path}; 'vadprobe describe' generates them.") from error
    except (OSError, pa.ArrowException) as error:
        raise VadprobeError(f"the texts {path} cannot be read ({error}); remove the file.") from error
    recipe = metadata_in(table.schema, TEXTS_RECIPE) or {}
    if recipe.get("features") != spec.digest:
        raise VadprobeError(f"the texts {path} must belong to the features that are scored; generate them again.")
    if recipe.get("version") != VERSION:
        raise VadprobeError(
            f"the texts {path} must be of version {VERSION}, got {recipe.get('version', 1)}; run 'vadprobe describe' "
            "again."
        )
    return TextOutput(
        tuple(table["video_id"].to_pylist()),
        table["start_frame"].to_numpy(),
        table["stop_frame"].to_numpy(),
        table["probability"].to_numpy().astype(np.float64),
        np.array([np.nan if said is None else float(said) for said in table["names_event"].to_pylist()]),
        () if recipe.get("taught") else tuple(recipe.get("words", ())),
    )
