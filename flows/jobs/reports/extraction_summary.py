"""End of an extraction: commit of its stores, and a summary in numbers and sentences."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vadprobe.extract.pipeline.planning import ExtractionPlan
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.joining import missing_lines
from vadprobe.store.errors import StoreError
from vadprobe.store.files.text import counted

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractionSummary:
    """Summary of an extraction.

    Attributes:
        n_clips: number of clips of all samplings.
        n_computed: number of clips computed here.
        n_partitions: number of partitions of all samplings.
        unreadable_videos: reasons by name of the videos that cannot be opened.
        failed_clips: reasons by name of the clips that cannot be read.
        missing: names of videos without a file.
        cautions: sentences on what the features may be used for.
    """

    n_clips: int
    n_computed: int
    n_partitions: int
    unreadable_videos: dict[str, str]
    failed_clips: dict[str, str]
    missing: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """True if every video with a file, and every clip, could be read."""
        return not self.unreadable_videos and not self.failed_clips

    def lines(self) -> Iterator[str]:
        """Yield the summary as sentences."""
        if self.n_computed == 0:
            yield (
                f"Nothing to compute: {counted(self.n_clips, 'clip')} in {counted(self.n_partitions, 'partition')}, "
                "all in the store."
            )
        else:
            yield (
                f"Worked on {self.n_computed:,} of {counted(self.n_clips, 'clip')}; "
                f"{counted(self.n_partitions, 'partition is', 'partitions are')} committed."
            )
        yield from (f"Note: {caution}" for caution in self.cautions)
        if self.failed_clips:
            yield f"{counted(len(self.failed_clips), 'clip')} could not be read (NaN in the store)."
        yield from missing_lines(self.missing)
        for video, reason in sorted(self.unreadable_videos.items()):
            yield f"Video not readable: {video}: {reason}"
        for clip, reason in sorted(self.failed_clips.items()):
            yield f"Clip not readable: {clip}: {reason}"


def finish_plan(dataset: Dataset, plan: ExtractionPlan, n_computed: int) -> ExtractionSummary:
    """Commit every store of a plan, write the card beside every backbone's stores, and return the summary."""
    from vadprobe.store.catalog.store_card import write_card

    failures = plan.commit()
    for folder in {writer.path.parent for sampling in plan.samplings for writer in sampling.writers}:
        try:
            write_card(folder)
        except StoreError as error:
            _LOGGER.warning(
                "%s (the stores are complete without it; 'vadprobe card %s' writes it later)", error, folder
            )
    return _summary(dataset, plan, failures, n_computed)


def _summary(
    dataset: Dataset, plan: ExtractionPlan, failures: Sequence[Mapping[int, str]], n_computed: int
) -> ExtractionSummary:
    """Return the summary of an extraction whose stores are committed.

    Args:
        dataset: of the job.
        plan: its stores.
        failures: per sampling plan, the rows that failed with their reasons.
        n_computed: clips that were worked on this time.
    """
    named = {}
    for sampling, rows in zip(plan.samplings, failures, strict=True):
        for row, reason in rows.items():
            clip = sampling.clips.clip(row)
            name = f"{clip.video_id} frames {clip.start_frame}-{clip.stop_frame - 1} ({sampling.sampling.key})"
            named[name] = reason
    return ExtractionSummary(
        n_clips=sum(len(sampling.clips) for sampling in plan.samplings),
        n_computed=n_computed,
        n_partitions=sum(sampling.writers[0].n_partitions for sampling in plan.samplings),
        unreadable_videos=plan.unreadable,
        failed_clips=named,
        missing=dataset.missing,
        cautions=plan.cautions,
    )
