"""Extractions with clips that fail, and extractions that are stopped: what is left, and that they go on."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.extractions import (
    PROMPTS,
    SEGMENTS,
    WHOLE,
    features_of,
    largest_difference,
    make_extractor,
    refuse_to_load,
    run_all,
    run_one,
    store_of,
)
from tests.support.oracles.eager_reference import ROUNDING
from tests.support.paths import SHARED
from tests.support.processes.process_state import state_of
from tests.support.processes.waiting import wait_until
from vadprobe.extract.model import shared_prefix
from vadprobe.extract.model.backbone import Description
from vadprobe.extract.pipeline import extraction
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.errors import StoreError, VideoError
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing import disk_space

pytestmark = pytest.mark.usefixtures("loaded_once")
REAL_VIDEOS = SHARED / "videos"
DescribeTiny = Callable[..., Description]
WriteVideo = Callable[..., Path]


def test_failing_clips_are_nan_rows_and_the_others_are_computed(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Decoder.read_clip
    failing = {
        ("first", 8): 1,
        ("second", 32): 7,
    }  # video and first frame, to row: in the middle, and a last short clip

    def read_or_fail(self: Decoder, path: Path, indices: Sequence[int]) -> np.ndarray:
        if (path.stem, min(indices) // 8 * 8) in failing:
            raise VideoError(f"frame {min(indices)} is damaged")
        return read(self, path, indices)

    monkeypatch.setattr(Decoder, "read_clip", read_or_fail)
    extractor = make_extractor(video_folder, tmp_path / "other", internvl)
    done: list[bool] = []
    reasons = {1: "frame 9 is damaged", 7: "frame 32 is damaged"}
    assert run_one(extractor, (0, 0), done.append) == reasons
    assert extractor.commit() == [reasons]
    assert (done.count(True), done.count(False)) == (7, 2)
    good = np.array([row not in reasons for row in range(9)])
    for prompt in range(2):
        store = store_of(extractor, prompt)
        assert store.failures == reasons
        assert np.array_equal(store.written, good)
        features = features_of(store)
        for values in features.values():
            assert np.isnan(values[~good]).all()
            assert np.isfinite(values[good]).all()
        assert largest_difference(features, features_of(store_of(extracted, prompt)), good) <= ROUNDING
        found = verify(store.path)
        assert (found.problems, found.n_failed) == ((), 2)


def test_a_partition_without_a_readable_clip_needs_no_weights(
    tmp_path: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Decoder, path: Path, indices: Sequence[int]) -> np.ndarray:
        raise VideoError("the disk is gone")

    monkeypatch.setattr(Decoder, "read_clip", fail)
    monkeypatch.setattr(extraction, "load", refuse_to_load)
    extractor = make_extractor(video_folder, tmp_path / "root", internvl)
    assert run_all(extractor) == [dict.fromkeys(range(9), "the disk is gone")]
    assert verify(store_of(extractor).path).problems == ()


def test_a_decoder_that_dies_in_the_middle_costs_one_clip(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = Decoder.read_clip, []

    def read_or_die(self: Decoder, path: Path, indices: Sequence[int]) -> np.ndarray:
        asked.append(path.stem)
        if len(asked) == 5:
            assert self._process is not None
            os.kill(self._process.pid, signal.SIGKILL)
        return read(self, path, indices)

    monkeypatch.setattr(Decoder, "read_clip", read_or_die)
    extractor = make_extractor(video_folder, tmp_path / "other", internvl)
    assert run_all(extractor) == [{4: "the decoder process ended with signal SIGKILL"}]
    good = np.arange(9) != 4
    assert largest_difference(features_of(store_of(extractor)), features_of(store_of(extracted)), good) <= ROUNDING


@pytest.mark.skipif(not REAL_VIDEOS.is_dir(), reason=f"the real videos are not at {REAL_VIDEOS}")
def test_a_real_corrupted_video_keeps_its_good_clips(tmp_path: Path, internvl: Description) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "corrupted.mp4").symlink_to(REAL_VIDEOS / "odd" / "corrupted.mp4")
    (videos / "whole.mp4").symlink_to(REAL_VIDEOS / "odd" / "h264_10bits.mp4")
    extractor = make_extractor(videos, tmp_path / "root", internvl, PROMPTS[:1])
    (failures,) = run_all(extractor)
    store = store_of(extractor)
    assert 0 < len(failures) < len(store.clips)
    assert {store.clips.clip(row).video_id for row in failures} == {"corrupted"}
    assert all("the file is damaged, and the frames" in reason for reason in failures.values())
    assert verify(store.path).problems == ()


def test_an_unfinished_extraction_is_not_committed(tmp_path: Path, video_folder: Path, internvl: Description) -> None:
    extractor = make_extractor(video_folder, tmp_path / "root", internvl, samplings=(SEGMENTS, WHOLE))
    run_one(extractor, (0, 0))
    assert extractor.pending() == [(1, 0)]
    with pytest.raises(StoreError, match=r"1 of 1 partitions are not written, first 0\. Run 'vadprobe extract' again"):
        extractor.commit()


def test_work_that_does_not_fit_on_the_disk_is_refused_before_it_begins(
    tmp_path: Path, copied_root: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StoreError, match=r"still to be written take about \S+ kB, but \S+ k?B are free at .*/other"):
        make_extractor(video_folder, tmp_path / "other", internvl)
    assert make_extractor(video_folder, copied_root, internvl).pending() == []  # nothing is left to compute


def test_a_failing_model_leaves_no_decoder_behind(
    tmp_path: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Remembered(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            started.append(self)

    extractor = make_extractor(video_folder, tmp_path / "root", internvl, batch_clips=1)
    monkeypatch.setattr(subprocess, "Popen", Remembered)

    def fail(*arguments: Any) -> None:
        raise MemoryError("the device is full")

    with monkeypatch.context() as patch:
        patch.setattr(shared_prefix, "capture_positions", fail)
        with pytest.raises(MemoryError, match="the device is full"):
            run_all(extractor)
    wait_until(lambda: all(process.poll() is not None for process in started))
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "decode-ahead"])
    assert extractor.pending() == [(0, 0)]
    assert run_all(extractor) == [{}]


def test_a_decoder_ends_with_a_parent_that_is_killed(video_folder: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from vadprobe.extract.video.decoder import Decoder\n"
        "with Decoder() as decoder:\n"
        "    decoder.probe(Path(sys.argv[1]))\n"
        "    print(decoder._process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", program, str(video_folder / "first.mp4")]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=300, text=True)
    assert ended.returncode == -signal.SIGKILL
    decoder = int(ended.stdout)
    wait_until(lambda: state_of(decoder) == "Z", "the decoder outlives its parent")  # its new parent may not wait
