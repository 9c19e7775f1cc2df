"""A folder of results: what an earlier detection left goes with --overwrite, and nothing else does."""

from pathlib import Path

import pytest

from vadprobe.detect.results.files import DetectionFiles
from vadprobe.store.errors import VadprobeError


def test_an_earlier_detection_goes_with_its_pictures_and_what_is_not_its_own_stays(tmp_path: Path) -> None:
    folder = tmp_path / "found"
    DetectionFiles(folder).close({})
    ours = ["a/curve.png", "a/event-01.mp4", "a/scored.mp4", "b/curve.png"]
    others = ["b/notes.txt", "mine.png"]
    for name in (*ours, *others):
        path = folder / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    with pytest.raises(VadprobeError, match="holds an earlier detection"):
        DetectionFiles(folder)
    assert all((folder / "pictures" / name).exists() for name in ours)
    DetectionFiles(folder, overwrite=True).close({})
    left = (folder / "pictures").rglob("*")
    assert sorted(path.relative_to(folder / "pictures").as_posix() for path in left) == ["b", *others]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VadprobeError, match=r"must be writable, and .*file is a file; name another --out"):
        DetectionFiles(tmp_path / "file" / "found")
