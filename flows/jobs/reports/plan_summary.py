"""The work of an extraction in sentences for people, and in JSON for programs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vadprobe.flows.jobs.extract_job import missing_lines, n_clips

if TYPE_CHECKING:
    from vadprobe.extract.pipeline.extraction import Extractor


def plan_content(extractor: "Extractor") -> dict[str, Any]:
    """Return a plan as plain JSON values; bytes are those before compression."""
    samplings = [
        {
            "sampling": sampling.sampling.key,
            "n_clips": len(sampling.clips),
            "n_videos": len(sampling.clips.video_ids),
            "prompts": [writer.spec.prompt.key for writer in sampling.writers],
            "n_partitions": sampling.writers[0].n_partitions,
            "pending_partitions": sampling.pending(),
            "bytes": sampling.n_bytes,
            "stores": [str(writer.path) for writer in sampling.writers],
        }
        for sampling in extractor.plan.samplings
    ]
    return {
        "samplings": samplings,
        "clips_to_compute": n_clips(extractor, extractor.pending()),
        "bytes_to_write": sum(sampling.n_bytes_missing for sampling in extractor.plan.samplings),
        "files_to_write": sum(sampling.n_objects_missing for sampling in extractor.plan.samplings),
        "unreadable_videos": extractor.plan.unreadable,
        "missing_videos": list(extractor.dataset.missing),
        "notes": [*extractor.plan.cautions, *extractor.plan.notes],
    }


def plan_lines(extractor: "Extractor") -> Iterator[str]:
    """Yield a plan in sentences."""
    for sampling in extractor.plan.samplings:
        total = sampling.writers[0].n_partitions
        yield (
            f"{sampling.sampling.key}: {len(sampling.clips)} clips of {len(sampling.clips.video_ids)} videos, "
            f"{len(sampling.writers)} prompts, {total - len(sampling.pending())} of {total} partitions done, "
            f"{sampling.n_bytes / 1e6:.1f} MB of features before compression"
        )
        contents = sampling.writers[0].contents
        if not contents.is_complete:
            yield f"{sampling.sampling.key}: {contents.describe()}"
    yield from (f"Note: {caution}" for caution in extractor.plan.cautions)
    yield from extractor.plan.notes
    yield from missing_lines(extractor.dataset.missing)
    for video, reason in sorted(extractor.plan.unreadable.items()):
        yield f"Video not readable: {video}: {reason}"
    left = plan_content(extractor)
    yield (
        f"{left['clips_to_compute']} clips are left to compute; their features will take about "
        f"{left['bytes_to_write'] / 1e6:.1f} MB in {left['files_to_write']} files."
    )
