"""From a job's ``[dataset]`` section to a :class:`Dataset`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vadprobe.store.annotations import (
    annotate,
    label_by_name,
    read_ucf_crime,
    read_xd_violence,
    ucf_crime_name,
    xd_violence_name,
)
from vadprobe.store.configuration import DatasetConfig
from vadprobe.store.datasets import Dataset, read_folder, read_manifest
from vadprobe.store.errors import VadprobeError
from vadprobe.store.probes import ProbedVideo
from vadprobe.store.records import Video

_READERS = {"ucf-crime": read_ucf_crime, "xd-violence": read_xd_violence}
_NAME_RULES = {"ucf-crime": ucf_crime_name, "xd-violence": xd_violence_name}


def open_dataset(config: DatasetConfig, workspace: Path) -> Dataset:
    """The dataset with its video files, for stage 1; relative paths begin at ``workspace``.

    Raises:
        VadprobeError: if the video folder, the manifest or an annotation file is missing or malformed.
    """
    folder = workspace / config.videos
    if not folder.is_dir():
        raise VadprobeError(
            f"the video folder {folder} does not exist; set 'videos' in [dataset] to the folder that holds the files."
        )
    if config.manifest is not None:
        dataset = read_manifest(config.name, folder, workspace / config.manifest)
    else:
        dataset = read_folder(config.name, folder)
    return _annotated(dataset, config, workspace)


def open_truth(config: DatasetConfig, workspace: Path, probed: Sequence[ProbedVideo]) -> Dataset:
    """The dataset with its truth, for stage 2: no video file is needed, frame counts are those found by stage 1.

    Raises:
        VadprobeError: if the manifest or an annotation file is missing or malformed.
    """
    folder = workspace / config.videos
    if config.manifest is not None:
        dataset = read_manifest(config.name, folder, workspace / config.manifest)
    else:
        dataset = Dataset(config.name, folder, tuple(Video(video.video_id, "") for video in probed))
    counts = {video.video_id: (video.n_frames, video.fps) for video in probed if video.reason is None}
    videos = (
        replace(video, n_frames=counts[video.video_id][0], fps=counts[video.video_id][1])
        if video.video_id in counts
        else video
        for video in dataset.videos
    )
    return _annotated(replace(dataset, videos=tuple(videos)), config, workspace)


def _annotated(dataset: Dataset, config: DatasetConfig, workspace: Path) -> Dataset:
    for annotation in config.annotations:
        path = workspace / annotation.path
        if not path.is_file():
            raise VadprobeError(f"the annotation file {path} does not exist; check 'annotations' in [dataset].")
        if annotation.label_by_name:
            dataset = label_by_name(dataset, _NAME_RULES[annotation.format])
        dataset = annotate(dataset, _READERS[annotation.format](path))
    return dataset
