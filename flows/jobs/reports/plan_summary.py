"""The work of an extraction in sentences for people, and in JSON for programs."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vadprobe.store.datasets.joining import missing_lines
from vadprobe.store.files.text import counted, size_text
from vadprobe.store.format.prompts import POSITIONS

if TYPE_CHECKING:
    from vadprobe.extract.pipeline.planning import ExtractionPlan
    from vadprobe.store.datasets.dataset import Dataset


def plan_content(dataset: "Dataset", plan: "ExtractionPlan") -> dict[str, Any]:
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
        for sampling in plan.samplings
    ]
    return {
        "samplings": samplings,
        "clips_to_compute": plan.n_clips_missing,
        "bytes_to_write": sum(sampling.n_bytes_missing for sampling in plan.samplings),
        "files_to_write": sum(sampling.n_objects_missing for sampling in plan.samplings),
        "unreadable_videos": plan.unreadable,
        "missing_videos": list(dataset.missing),
        "notes": [*plan.cautions, *plan.notes],
    }


def plan_lines(dataset: "Dataset", plan: "ExtractionPlan") -> Iterator[str]:
    """Yield a plan in sentences."""
    backbone = plan.samplings[0].writers[0].spec.backbone
    yield (
        f"{backbone.key} ({backbone.family}): {backbone.describe_heads()}; {backbone.n_layers + 1} layers of "
        f"{backbone.hidden_size} values, layer 0 the embedding"
    )
    for sampling in plan.samplings:
        total = sampling.writers[0].n_partitions
        yield (
            f"{sampling.sampling.key}: {counted(len(sampling.clips), 'clip')} of "
            f"{counted(len(sampling.clips.video_ids), 'video')}, {counted(len(sampling.writers), 'prompt')}, "
            f"{total - len(sampling.pending())} of {counted(total, 'partition')} done, "
            f"{size_text(sampling.n_bytes)} of features before compression"
        )
        contents = sampling.writers[0].contents
        if not contents.is_complete:
            yield f"{sampling.sampling.key}: {contents.describe()}"
        for prompt in (writer.spec.prompt for writer in sampling.writers):
            yield f"{sampling.sampling.key}: {prompt.key}: values {POSITIONS[prompt.position][1]}"
    yield from (f"Note: {caution}" for caution in plan.cautions)
    yield from plan.notes
    yield from missing_lines(dataset.missing)
    for video, reason in sorted(plan.unreadable.items()):
        yield f"Video not readable: {video}: {reason}"
    yield _left(plan_content(dataset, plan))


def _left(content: Mapping[str, Any]) -> str:
    """Say how much of a plan is left, from its JSON values."""
    clips = content["clips_to_compute"]
    if not clips:
        return "No clip is left to compute."
    return (
        f"{counted(clips, 'clip is', 'clips are')} left to compute; the features will take about "
        f"{size_text(content['bytes_to_write'])} in {counted(content['files_to_write'], 'file')}."
    )
