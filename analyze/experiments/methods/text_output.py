"""Texts that a backbone generated about segments, as scores: the probability of given words, and whether one is said.

`vadprobe` never asks a model for yes or no here: a captioner that never learnt these answers has no such probability.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from vadprobe.analyze.locator.smoothing import smooth
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.parquet import metadata_in, read_parquet
from vadprobe.store.format.specification import FeatureSpec

TEXTS = "texts.parquet"
"""Name of the file of texts beside an analysis; its metadata says how they were made (`TEXTS_RECIPE`)."""

TEXTS_RECIPE = "texts"

HOW = (
    "Text output: the backbone's own greedy text about each segment. p is 1 - prod(1 - m) over the steps of the text, "
    "m the probability mass of the tokens that begin an event's word. A captioner never learnt to answer yes or no, so "
    "its probability of yes would mean nothing and is not used."
)
"""How scores are made of texts, for readers of a table."""


@dataclass(frozen=True, eq=False)
class TextOutput:
    """The texts of a job's segments: names of videos, half-open frames, probabilities, and the decision of the words.

    `probabilities` and `says_event` (n,) float64 are NaN where a segment could not be read.
    """

    video_ids: tuple[str, ...]
    start_frames: np.ndarray
    stop_frames: np.ndarray
    probabilities: np.ndarray
    says_event: np.ndarray

    def smoothed(self, sigma: float) -> np.ndarray:
        """Return the probabilities smoothed within each video, as a method smooths its scores, (n,) float64."""
        names = sorted(set(self.video_ids))
        codes = np.array([names.index(name) for name in self.video_ids], dtype=np.int64)
        order = np.lexsort((self.start_frames, codes))
        found = np.empty(len(order))
        found[order] = smooth(self.probabilities[order], sigma, codes[order])
        return found


def read_texts(path: Path, spec: FeatureSpec) -> TextOutput:
    """Read a job's texts.

    Raises:
        VadprobeError: if there are none, or they are about other clips or of another backbone than the features.
    """
    try:
        table = read_parquet(path)
    except FileNotFoundError as error:
        raise VadprobeError(f"there are no texts {path}; 'vadprobe describe' generates them.") from error
    except (OSError, pa.ArrowException) as error:
        raise VadprobeError(f"the texts {path} cannot be read ({error}); remove the file.") from error
    recipe = metadata_in(table.schema, TEXTS_RECIPE) or {}
    if recipe.get("features") != spec.digest:
        raise VadprobeError(f"the texts {path} must belong to the features that are scored; generate them anew.")
    return TextOutput(
        tuple(table["video_id"].to_pylist()),
        table["start_frame"].to_numpy(),
        table["stop_frame"].to_numpy(),
        table["probability"].to_numpy().astype(np.float64),
        np.array([np.nan if said is None else float(said) for said in table["names_event"].to_pylist()]),
    )
