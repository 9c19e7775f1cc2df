"""A file of scores of any origin, and what to do with those that do not fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from vadprobe.store.datasets.annotations.conventions import DEFAULT_CONVENTION, IntervalConvention
from vadprobe.store.settings import Section

if TYPE_CHECKING:
    from vadprobe.analyze.evaluation.score_files.laying import FitRules
    from vadprobe.analyze.evaluation.score_files.values import VideoScores


class ScoreSource(Section):
    """Scores by video name, as options of the command and as fields of the flow's form."""

    scores: Path = Field(description="JSON, NPZ, CSV, JSON Lines or Parquet, by video name")
    scores_key: str | None = Field(
        default=None,
        description="the part of a JSON file that holds the scores, such as result.scores; '*.scores' takes that of "
        "each video",
    )
    answers: str | None = Field(
        default=None,
        description="scores of answers in words: 'anomalous=1,normal=0' goes by how an answer begins; "
        "'number' takes its last number",
    )
    rename: str | None = Field(
        default=None,
        description="OLD=NEW, replaced in the names of videos on both sides before they are compared; '#=' leaves "
        "every '#' out",
    )
    video_column: str | None = Field(default=None, description="column of video names; default: video_id")
    score_column: str | None = Field(default=None, description="column of scores; default: score")
    segment_length: int = Field(default=1, ge=1, description="frames per score, if the file names no frames")
    segments: IntervalConvention = Field(
        default=DEFAULT_CONVENTION, description="what a score's first and last frame mean"
    )
    pad: bool = Field(default=False, description="if a video has too few scores, repeat the last one to its end")
    trim: bool = Field(default=False, description="leave out scores past a video's end")
    allow_missing: bool = Field(default=False, description="measure the other videos if some have no scores")
    allow_unknown: bool = Field(default=False, description="leave out frames whose score is NaN")

    def read(self) -> Mapping[str, "VideoScores"]:
        """Return the scores by video name."""
        from vadprobe.analyze.evaluation.score_files.answers import AnswerRule
        from vadprobe.analyze.evaluation.score_files.reading import read_scores

        columns = {"video_column": self.video_column, "score_column": self.score_column}
        answers = None if self.answers is None else AnswerRule.of(self.answers)
        return read_scores(self.scores, key=self.scores_key, answers=answers, **columns)

    @property
    def rules(self) -> "FitRules":
        """Rules for scores that do not fit the frames."""
        from vadprobe.analyze.evaluation.score_files.joined_names import Renaming
        from vadprobe.analyze.evaluation.score_files.laying import FitRules

        return FitRules(
            self.segment_length,
            self.segments,
            self.pad,
            self.trim,
            self.allow_missing,
            self.allow_unknown,
            None if self.rename is None else Renaming.of(self.rename),
        )
