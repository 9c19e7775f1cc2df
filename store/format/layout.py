"""Paths below a store's root.

::

    ROOT/<dataset>/videos.parquet                                  every video probed: frames, rate, status, reason
    ROOT/<dataset>/<sampling>/clips.parquet                        the clip of each row (with clip_videos.parquet)
    ROOT/<dataset>/<sampling>/<backbone>/<prompt>.zarr             the features of one prompt
    ROOT/<dataset>/<sampling>/<backbone>/<prompt>.records/         one JSON per written partition
"""

from dataclasses import dataclass

from vadprobe.store.files.location import StorePath
from vadprobe.store.files.names import check_key
from vadprobe.store.format.sampling import Sampling


@dataclass(frozen=True)
class DatasetLayout:
    """Paths of one dataset below a root."""

    root: StorePath
    dataset: str

    def __post_init__(self) -> None:
        check_key("the dataset's name", self.dataset)

    @property
    def folder(self) -> StorePath:
        """Folder of the dataset."""
        return self.root / self.dataset

    @property
    def videos(self) -> StorePath:
        """Parquet of the probed videos."""
        return self.folder / "videos.parquet"

    def clips(self, sampling: Sampling) -> StorePath:
        """Return the path of the clip table of one sampling."""
        return self.folder / sampling.key / "clips.parquet"

    def store(self, sampling: Sampling, backbone: str, prompt: str) -> StorePath:
        """Return the path of the Zarr group of one prompt."""
        return self.backbone(sampling, backbone) / f"{check_key('the prompt key', prompt)}.zarr"

    def backbone(self, sampling: Sampling, backbone: str) -> StorePath:
        """Return the folder of one backbone's stores."""
        return self.folder / sampling.key / check_key("the backbone's key", backbone)


def records_of(store: StorePath) -> StorePath:
    """Return the folder of partition records that belongs to a Zarr group."""
    return store.with_suffix(".records")


def clips_of(store: StorePath) -> StorePath:
    """Return the path of the clip table that a Zarr group's rows follow."""
    folder = store.parent
    # Seen from its own folder a store is "question.zarr", and pathlib knows nothing above that.
    above = folder / ".." if folder.name in ("", "..") else folder.parent
    return above / "clips.parquet"
