"""Published sets: readers of their annotations, names of their files, and rules for the names of their videos."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vadprobe.store.datasets.annotations.conventions import IntervalConvention
from vadprobe.store.datasets.annotations.folders.mask_archives import is_archive, read_mask_archive
from vadprobe.store.datasets.annotations.folders.masks import read_masks
from vadprobe.store.datasets.annotations.folders.tracks import read_ubnormal
from vadprobe.store.datasets.annotations.hivau import read_hivau
from vadprobe.store.datasets.annotations.names import (
    NameRule,
    msad_name,
    tad_name,
    ubnormal_name,
    ucf_crime_name,
    xd_violence_name,
)
from vadprobe.store.datasets.annotations.rows.rows import Annotation, Reading
from vadprobe.store.datasets.annotations.split_lists import Listed, read_split_list, read_tad_list
from vadprobe.store.datasets.annotations.text_files import read_tad, read_ucf_crime, read_xd_violence


@dataclass(frozen=True)
class KnownSet:
    """One published set. File names are patterns, of which the first that fits a file is used.

    Attributes:
        read: reader of an annotation; only readers of text files use the interval convention.
        annotations: names of annotation files; empty where the annotation is the folder itself.
        train_lists: names of lists of training videos.
        test_lists: names of lists of test videos.
        name_rule: gives label and category of a video that no annotation names.
        names_normal_videos: the annotation names normal videos too.
        validation_lists: names of lists of validation videos.
        is_in_parts: the annotation consists of several files.
        has_lists_in_parts: the list of a split consists of several files.
        annotates_all_splits: the annotation covers the training videos too.
        read_list: reader of the lists.
    """

    read: Callable[[Path, IntervalConvention], Reading[Annotation]]
    annotations: tuple[str, ...] = ()
    train_lists: tuple[str, ...] = ()
    test_lists: tuple[str, ...] = ()
    name_rule: NameRule | None = None
    names_normal_videos: bool = True
    validation_lists: tuple[str, ...] = ()
    is_in_parts: bool = False
    has_lists_in_parts: bool = False
    annotates_all_splits: bool = False
    read_list: Callable[[Path], Reading[Listed]] = read_split_list


KNOWN_SETS: Mapping[str, KnownSet] = {
    "ucf-crime": KnownSet(
        read_ucf_crime,
        annotations=("Temporal_Anomaly_Annotation*.txt",),
        train_lists=("Anomaly_Train*.txt",),
        test_lists=("Anomaly_Test*.txt",),
        name_rule=ucf_crime_name,
    ),
    "xd-violence": KnownSet(
        read_xd_violence,
        annotations=("annotations.txt",),
        train_lists=("train_videos.txt", "*train*.list"),
        test_lists=("test_videos.txt", "*test*.list"),
        name_rule=xd_violence_name,
        names_normal_videos=False,
    ),
    "msad": KnownSet(
        read_ucf_crime,
        annotations=("Temporal_Anomaly_Annotation*.txt",),
        train_lists=("anomaly_train*.txt",),
        test_lists=("anomaly_test*.txt",),
        name_rule=msad_name,
    ),
    "tad": KnownSet(
        read_tad,
        annotations=("TAD_test*.txt", "tad_test*.txt"),
        train_lists=("TAD_train*.txt", "tad_train*.txt"),
        name_rule=tad_name,
        annotates_all_splits=True,
        read_list=read_tad_list,
    ),
    "hivau": KnownSet(lambda path, _: read_hivau(path), annotations=("*_database_*.json",), is_in_parts=True),
    "masks": KnownSet(lambda path, _: read_mask_archive(path) if is_archive(path) else read_masks(path)),
    "ubnormal": KnownSet(
        lambda folder, _: read_ubnormal(folder),
        train_lists=("*normal_training_video_names.txt",),
        test_lists=("*normal_test_video_names.txt",),
        validation_lists=("*normal_validation_video_names.txt",),
        name_rule=ubnormal_name,
        names_normal_videos=False,
        has_lists_in_parts=True,
        annotates_all_splits=True,
    ),
}
"""The published sets by the name of their format."""
