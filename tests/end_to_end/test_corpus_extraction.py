"""An extraction over the corpus of broken videos: good clips have features, every other row a reason that is said."""

import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.support.processes.stand_in import decoder_without_rights
from tests.support.profiles import LONG
from tests.support.samples.jobs import write_job
from tests.support.videos.broken import CASES
from vadprobe.flows.command_line import main
from vadprobe.store.reading.feature_store import FeatureStore

MORE = '[extraction]\ndevice = "cpu"\nthreads = 1\ndecode_deadline = 120'
UNLISTED = ("folder.mp4", "broken_link.mp4")
"""No files, so no videos of the folder."""
LENGTH = 6 if LONG else 12
"""Frames of a clip."""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_the_run_ends_with_exit_code_3_and_names_everything_that_cannot_be_read(
    tmp_path: Path,
    open_folder: Path,
    tiny_backbones: Mapping[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases = {Path(case.name).stem: case for case in reversed(CASES)}  # one of each stem, which is the video's name
    for case in cases.values():
        case.make(open_folder / case.name)
    parts = {"videos": open_folder, "length": LENGTH, "frames": 3, "size": 28, "more": MORE}
    job = write_job(tmp_path, tiny_backbones["qwen2_5_vl"], **parts)
    monkeypatch.setattr(sys, "executable", decoder_without_rights(tmp_path))
    assert main(["extract", str(job)]) == 3
    printed = capsys.readouterr().out
    assert main(["verify", str(job)]) == 0
    capsys.readouterr()

    refused = dict(re.findall(r"^Video not readable: (\w+): (.+)$", printed, re.MULTILINE))
    hopeless = {stem: case for stem, case in cases.items() if not case.kept and case.name not in UNLISTED}
    assert refused.keys() == hopeless.keys()
    assert all(re.search(hopeless[stem].reason, reason) for stem, reason in refused.items()), refused

    store = FeatureStore.open(tmp_path / "features" / "set" / f"segment-{LENGTH}-3" / "tiny" / "coarse.zarr")
    clips = [store.clips.clip(row) for row in range(len(store.clips))]
    assert {clip.video_id for clip in clips} == cases.keys() - hopeless.keys() - {Path(one).stem for one in UNLISTED}
    finite = np.isfinite(store.blocks(np.arange(len(clips)), [0])).all(axis=(1, 2, 3))
    said = dict(re.findall(r"^Clip not readable: (\w+ frames \d+-\d+) \(segment-\d+-3\): (.+)$", printed, re.MULTILINE))
    failed = {}
    for row, clip in enumerate(clips):
        case = cases[clip.video_id]
        assert finite[row] == (row not in store.failures)
        if row in store.failures:
            assert not case.kept >= set(clip.frame_indices), f"{case.name}: {store.failures[row]}"
            assert re.search(case.reason, store.failures[row])
            failed[f"{clip.video_id} frames {clip.start_frame}-{clip.stop_frame - 1}"] = store.failures[row]
    assert said == failed
    assert f"{len(failed)} clips could not be read" in printed

    assert main(["extract", str(job)]) == 3
    assert "Nothing to compute" in capsys.readouterr().out
