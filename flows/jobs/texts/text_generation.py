"""Texts that a job's backbone generates about its segments, kept beside the analysis as a baseline of the methods."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vadprobe.analyze.experiments.methods.text_output import TEXTS, TEXTS_RECIPE, VERSION
from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.extract.model.texts.generation import GeneratedText, TextGeneration
from vadprobe.extract.model.texts.word_tokens import WordTokens
from vadprobe.extract.video.decoder import Decoder
from vadprobe.flows.jobs.analyze_job import open_analysis
from vadprobe.flows.jobs.job import Job
from vadprobe.flows.jobs.texts.event_words import check_words, says_one, taught_words
from vadprobe.flows.jobs.texts.feature_backbone import FeatureBackbone
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.errors import VadprobeError, VideoError
from vadprobe.store.files.parquet import metadata_in, read_parquet, with_metadata, with_notes, write_parquet
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.progress import Progress
from vadprobe.store.writing.timings.text_timings import NAME as TEXT_TIMINGS
from vadprobe.store.writing.timings.text_timings import read_text_timings

MAX_TOKENS = 48
"""Default limit of a text in tokens; captions of the demo's backbone are shorter."""

_BATCH = 16
_COLUMNS = pa.schema(
    {
        "video_id": pa.string(),
        "split": pa.string(),
        "start_frame": pa.int64(),
        "stop_frame": pa.int64(),
        "text": pa.string(),
        "probability": pa.float64(),
        "names_event": pa.bool_(),
        "prompt": pa.string(),
    }
)


@dataclass
class _Writer:
    """Generates the texts of videos; the weights are loaded for the first one."""

    job: Job
    dataset: Dataset
    clips: ClipTable
    spec: FeatureSpec
    words: frozenset[str]
    max_tokens: int

    @cached_property
    def backbone(self) -> FeatureBackbone:
        """The backbone of the features."""
        return FeatureBackbone(self.job, self.spec)

    @cached_property
    def tokens(self) -> WordTokens:
        """Tokens that are one of the words; found without the weights.

        Raises:
            VadprobeError: if the tokenizer has no token for a word.
        """
        return WordTokens.of(self.backbone.description.family.tokenizer, sorted(self.words))

    @cached_property
    def generation(self) -> TextGeneration:
        """Generation of texts with the loaded backbone."""
        return TextGeneration(self.backbone.loaded, self.max_tokens)

    def check(self) -> None:
        """Check backbone and words before the first frame is read; errors as of `FeatureBackbone` and `tokens`."""
        _ = self.tokens

    def rows(self, video_id: str, decoder: Decoder) -> Iterator[dict[str, Any]]:
        """Yield the rows of the table about one video, in order of frames."""
        path = self.dataset.folder / self.dataset.by_id[video_id].path
        rows = self.clips.rows_of([video_id]).tolist()
        for start in range(0, len(rows), _BATCH):
            some = rows[start : start + _BATCH]
            frames = {row: self._frames(path, row, decoder) for row in some}
            readable = [row for row in some if frames[row] is not None]
            texts = self._texts([frames[row] for row in readable], readable) if readable else []
            found = dict(zip(readable, texts, strict=True))
            for row in some:
                yield self._row(video_id, row, found.get(row))

    def _frames(self, path: Path, row: int, decoder: Decoder) -> Any:
        """Return a clip's frames as the model takes them; None where they cannot be read."""
        try:
            return self.backbone.frames(path, self.clips.clip(row).frame_indices, decoder)
        except VideoError:
            return None

    def _texts(self, frames: Sequence[Any], rows: Sequence[int]) -> list[GeneratedText]:
        clips = self.clips
        lengths = (clips.stop_frames - clips.start_frames)[list(rows)]
        seconds = lengths / clips.fps[clips.video_codes[list(rows)]]
        return self.generation(frames, seconds.tolist(), self.spec, self.tokens)

    def _row(self, video_id: str, row: int, found: GeneratedText | None) -> dict[str, Any]:
        return {
            "video_id": video_id,
            "split": self.dataset.by_id[video_id].split,
            "start_frame": int(self.clips.start_frames[row]),
            "stop_frame": int(self.clips.stop_frames[row]),
            "text": "" if found is None else found.text,
            "probability": float("nan") if found is None else found.probability,
            "names_event": None if found is None else says_one(found.text, self.words),
            "prompt": self.spec.prompt.text,
        }


def write_texts(
    job: Job,
    words: Iterable[str],
    *,
    max_tokens: int = MAX_TOKENS,
    splits: Sequence[str] = ("validation", "test"),
    progress: Progress = lambda done, total: None,
) -> Path:
    """Generate a text about every scored segment of a job, and write them to `texts.parquet` beside its results.

    The model is asked the prompt whose features are scored, about the same frames. The file is written after each
    video, and a later call continues an earlier one.

    Args:
        job: a job whose features are extracted.
        words: words of an event, in small letters and of letters alone. For each text, the file has the probability
            that it names one of them, and whether it does.
        max_tokens: limit of a text in tokens.
        splits: splits whose videos are described.
        progress: called with the number of videos that are done, and of all.

    Returns:
        Path of the file. Its metadata has the recipe of the texts, and the notes on the backbone.

    Raises:
        VadprobeError: if the features are missing, the backbone is not the one that made them, the splits have no
            video, or a word has other characters than letters or no token in the tokenizer.
    """
    chosen = frozenset(words)
    check_words(chosen)
    inputs = open_analysis(job)
    store, path = inputs.store, job.out / TEXTS
    video_ids = _videos_of(inputs, splits)
    recipe = _recipe(job, store.spec, chosen, max_tokens)
    found = _rows_before(path, recipe)
    dataset = open_dataset(job.config.dataset, job.workspace)
    writer = _Writer(job, dataset, store.clips, store.spec, chosen, max_tokens)
    done = {row["video_id"] for row in found}
    before = read_text_timings(path.with_name(TEXT_TIMINGS), store.spec.digest) if found else None
    if not done.issuperset(video_ids):
        writer.check()
    with Decoder(job.config.extraction.decode_deadline, job.config.extraction.reader) as decoder:
        for number, video_id in enumerate(video_ids):
            if video_id not in done:
                found += writer.rows(video_id, decoder)
                table = pa.Table.from_pylist(found, _COLUMNS)
                write_parquet(with_notes(with_metadata(table, TEXTS_RECIPE, recipe), store.spec.notes), path)
                writer.backbone.write_timings(writer.generation.times, path.with_name(TEXT_TIMINGS), before)
            progress(number + 1, len(video_ids))
    return path


def _videos_of(inputs: AnalysisInputs, splits: Sequence[str]) -> list[str]:
    """Return the scored videos of some splits, in the store's order.

    Raises:
        VadprobeError: if the splits have no scored video.
    """
    clips = inputs.store.clips
    rows = [row for split in splits for row in inputs.rows_of_split(split).tolist()]
    if not rows:
        raise VadprobeError(
            f"no video of {inputs.truth.name!r} that is scored is in the splits {', '.join(splits)}, so "
            "there is nothing to describe. Put videos into one of these splits, and extract their "
            "features."
        )
    return [clips.video_ids[code] for code in np.unique(clips.video_codes[rows])]


def _recipe(job: Job, spec: FeatureSpec, words: frozenset[str], max_tokens: int) -> dict[str, Any]:
    """Return all that the texts depend on; `taught` is True if the words are all those a captioner was taught."""
    return {
        "version": VERSION,
        "features": spec.digest,
        "words": sorted(words),
        "taught": words == taught_words(job, spec),
        "max_tokens": max_tokens,
    }


def _rows_before(path: Path, recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an earlier call with the same recipe."""
    try:
        table = read_parquet(path)
    except (OSError, pa.ArrowException):
        return []
    return list(table.to_pylist()) if metadata_in(table.schema, TEXTS_RECIPE) == recipe else []
