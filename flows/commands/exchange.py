"""The commands export, export-fiftyone and import headhunt: features and results for, and from, other programs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vadprobe.flows.commands.options import Heads, Names, Numbers, OptionalPositive, Place, Positive, VideoNames
from vadprobe.flows.jobs.progress import Bar
from vadprobe.store.catalog.store_card import write_card
from vadprobe.store.datasets.annotations.frame_counts import read_frame_counts
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.exchange.export import Exported
from vadprobe.store.exchange.export import export as export_store
from vadprobe.store.exchange.export_choice import ExportChoice, Format
from vadprobe.store.exchange.export_folder import INDEX
from vadprobe.store.exchange.headhunt_files import Layout
from vadprobe.store.exchange.headhunt_import import UNKNOWN, HeadHuntImport, Imported
from vadprobe.store.exchange.headhunt_import import import_headhunt as import_files
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.files.text import counted, size_text
from vadprobe.store.format.prompts import Prompt, shipped
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.reading.feature_store import FeatureStore


def export(
    store: Place,
    out: Path,
    /,
    *,
    format: Format,
    layers: Numbers = None,
    heads: Heads = None,
    videos: VideoNames = None,
    arrays: Names = None,
) -> int:
    """Write a store's features as .npy or safetensors, one file per video.

    An index says what the files are. An interrupted export goes on when the command is given again. Failed rows are
    NaN; the index says why.

    Example: vadprobe export features/set/segment-48-16/backbone/coarse.zarr arrays --format npy

    Args:
        store: a feature store (...zarr), or a URL of one
        out: the folder of the files; new, empty, or of this export
        format: npy: a folder for each array, bfloat16 as float32; safetensors: a file for each video, bfloat16 as it is
        layers: these layers of the hidden states; 0 is the embedding
        heads: these heads, each as block:head from 0
        videos: names, separated by commas, or @FILE with one per line
        arrays: some of hidden_states,head_outputs,answer_logits; default: what the store holds
    """
    for option, given in (("layers", layers), ("heads", heads), ("arrays", arrays), ("videos", videos)):
        if given == ():
            raise VadprobeError(f"--{option} is empty; name something, or leave it out for everything.")
    choice = ExportChoice(format, layers, heads, arrays, videos)
    done = export_store(FeatureStore.open(store), out, choice, Bar("exporting", "video"))
    print("\n".join(_export_lines(out, done)))
    return 0


def export_fiftyone(config: Path, out: Path, /) -> int:
    """Write the results of a finished analysis as JSON files that FiftyOne reads.

    data.json names the videos; truth.json, events.json and clips.json have temporal detections: the true intervals,
    what was detected, and every clip with its score. embeddings.npy has the layer or heads that the detector reads of
    every clip, embeddings.json the clips of its rows. FiftyOne is not needed here.

    Example: vadprobe export-fiftyone my-job.toml fiftyone

    Args:
        config: job file whose analysis is finished
        out: the folder of the files
    """
    from vadprobe.analyze.report.fiftyone_files import write_embeddings, write_fiftyone
    from vadprobe.flows.jobs.analyze_job import open_analysis
    from vadprobe.flows.jobs.job import load_job
    from vadprobe.flows.jobs.reports.parts import report_part

    job = load_job(config)
    inputs = open_analysis(job)
    part = report_part(job, inputs)
    paths = write_fiftyone(part.truth, part.scores, part.events, part.truth.folder, out)
    added = write_embeddings(inputs.store, part.detector.selection, part.scores, read_json(paths[0]), out)
    print(f"{out}: {', '.join(path.name for path in (*paths, *added))}. In Python, for one of the three fields:")
    print(
        "  fiftyone.Dataset.from_dir(dataset_type=fiftyone.types.FiftyOneTemporalDetectionDataset, "
        f"data_path={str(paths[0].absolute())!r}, labels_path={str(paths[2].absolute())!r}, label_field='events')"
    )
    return 0


def _export_lines(out: Path, done: Exported) -> Iterator[str]:
    yield (
        f"{out}: {counted(done.n_written, 'video')} written ({size_text(done.n_bytes)})"
        + (f", {done.n_kept} were there" if done.n_kept else "")
        + f"; {counted(done.n_rows, 'row')}"
        + (f", {done.n_failed} of them failed (NaN; the reasons are in {INDEX})" if done.n_failed else "")
        + "."
    )
    if done.renamed:
        yield f"{counted(done.renamed, 'name')} of videos cannot be used for files; {INDEX} says which file is whose."
    if done.left_out:
        yield f"{counted(done.left_out, 'video')} left out: the store is a part of another and lacks rows of them."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class HeadHuntOptions:
    """Options that say what the pickles do not."""

    root: Place
    """the folder of the stores, or its URL"""
    dataset: str
    """name of the dataset"""
    backbone: str
    """a key for the model, such as internvl3-8b"""
    heads: Positive
    """heads of a layer: 28 of InternVL3-8B"""
    prompt: str
    """key of a shipped prompt (coarse, detailed, question, ...); or any key, with --prompt-text"""
    prompt_text: str | None = None
    """what the model was asked, if it is no shipped prompt"""
    source: str = UNKNOWN
    """where the weights are from: a hub id"""
    revision: str = UNKNOWN
    """revision of the weights"""
    hidden_size: OptionalPositive = None
    """hidden size of the model; default: heads * head_dim"""
    clip_length: Annotated[OptionalPositive, Parameter(metavar="FRAMES")] = None
    """the files hold segments of so many frames, in order; default: one vector for a whole video"""
    frames_per_clip: Positive = 16
    """frames the model saw"""
    frame_counts: Path | None = None
    """CSV table of video,frames; default: unknown"""
    key: str | None = None
    """key of the tensor, if a file holds several of oproj_inputs, oproj_inputs_last_token, self_attns"""
    normal_labels: Names = None
    """labels that mean normal; default: A, 0, *normal*"""

    def settings(self) -> HeadHuntImport:
        """Return the options as the import takes them.

        Raises:
            VadprobeError: if the prompt, the sampling or the table of frames is wrong.
        """
        is_video = self.clip_length is None
        counts = None
        if self.frame_counts is not None:
            counts = {count.video_id: count.n_frames for count in read_frame_counts(self.frame_counts).checked()}
        return HeadHuntImport(
            dataset=self.dataset,
            backbone=self.backbone,
            prompt=shipped(self.prompt) if self.prompt_text is None else Prompt(self.prompt, self.prompt_text),
            sampling=Sampling("video" if is_video else "segment", self.clip_length, self.frames_per_clip),
            layout=Layout(self.heads, self.key, segments=not is_video),
            source=self.source,
            revision=self.revision,
            hidden_size=self.hidden_size,
            frame_counts=counts,
            normal_labels=self.normal_labels or (),
        )


def import_headhunt(folder: Path, /, *, options: HeadHuntOptions) -> int:
    """Make a store of the pickles that HeadHunt-VAD's public code writes.

    The files <video>_oproj_input.pkl, each with one tensor (layers, heads * head_dim), are read as data: nothing in
    them is run, and torch is not needed. The store holds all heads, no hidden states and no answer logits. The labels
    go into labels.csv beside it, a table for --format manifest. Import each prompt's folder on its own. Exit code 1
    if a file gave no row.

    Example: vadprobe import headhunt pickles --root features --dataset xd --backbone my-vl --heads 28 --prompt coarse

    Args:
        folder: the folder of one prompt's pickles
    """
    done = import_files(folder, options.root, options.settings(), Bar("reading", "file"), Bar("writing", "partition"))
    try:
        write_card(done.store.parent)
    except StoreError as error:
        print(f"{error} (the store is whole without it; 'vadprobe card {done.store.parent}' writes it later)")
    print("\n".join(_import_lines(done, options.frame_counts is None)))
    return 1 if done.left_out else 0


def _import_lines(done: Imported, without_frames: bool) -> Iterator[str]:
    size = f"{counted(done.n_videos, 'video')}, {counted(done.n_rows, 'row')}"
    yield f"{done.store}: {size}; all heads, no hidden states, no answer logits."
    yield f"{done.labels}: labels, which no store holds; read it with --format manifest --annotations."
    if without_frames:
        yield "The files do not say how many frames a video has; give --frame-counts to compare with frame labels."
    for what, reasons in (("failed rows (NaN)", done.failed), ("left out", done.left_out)):
        for reason in reasons:
            yield f"{what}: {reason}"
