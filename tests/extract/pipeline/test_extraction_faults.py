"""Extractions with clips that fail, and extractions that are stopped: what is left, and that they go on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.extractions import (
    PROMPTS,
    SEGMENTS,
    WHOLE,
    assert_bit_equal,
    features_of,
    largest_difference,
    make_extractor,
    refuse_to_load,
    run_all,
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
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.layout import records_of
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
    assert extractor.run(0, 0, done.append) == reasons
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
    extractor.run(0, 0)
    assert extractor.pending() == [(1, 0)]
    with pytest.raises(StoreError, match=r"1 of 1 partitions are not written, first 0\. Run 'vadprobe extract' again"):
        extractor.commit()


def test_work_that_does_not_fit_on_the_disk_is_refused_before_it_begins(
    tmp_path: Path, copied_root: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StoreError, match=r"still to be written take about 0\.\d MB, but 0\.0 MB are free at .*/other"):
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
        patch.setattr(shared_prefix, "capture", fail)
        with pytest.raises(MemoryError, match="the device is full"):
            extractor.run(0, 0)
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


WORK = """
import json, os, signal, subprocess, sys, traceback
from pathlib import Path
from vadprobe.extract.model.backbone import describe
from vadprobe.extract.configuration import BackboneConfig, ExtractionConfig
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.planning import plan_extraction
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.claims.staging import Staging

videos, root, checkpoint = (Path(argument) for argument in sys.argv[1:4])
backbone = BackboneConfig(key="tiny", path=str(checkpoint), dtype="float32", frame_size=(28, 28))
description = describe(backbone, checkpoint)
config = ExtractionConfig(device="cpu", threads=1, batch_clips=8)
sampling = SamplingConfig(unit="segment", clip_length=2, frames_per_clip=2)
prompts = [SHIPPED["coarse"], SHIPPED["question"]]
start, stage = subprocess.Popen.__init__, Staging.stage


def remember(self, *arguments, **settings):
    start(self, *arguments, **settings)
    (root / "decoder").write_text(str(self.pid))


def extract(moment, left):
    def die(*_):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    subprocess.Popen.__init__ = remember
    if moment == "write":  # between two shards of a partition
        Staging.stage = lambda self, name, pieces: (name.endswith("json") or die(), stage(self, name, pieces))
    dataset = open_dataset(DatasetConfig(name="set", videos=str(videos)), Path())
    plan = plan_extraction(dataset, root, [sampling], prompts, description, config)
    extractor = Extractor(dataset, plan, description, config)
    for position, partition in extractor.pending():
        extractor.run(position, partition, die if moment == "clip" else None)


for argument in sys.argv[4:]:
    moment, count = argument.split(":")
    child = os.fork()
    if child == 0:
        try:
            extract(moment, int(count))
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    _, status = os.waitpid(child, 0)
    records = {str(path.relative_to(root)): path.read_text() for path in sorted(root.glob("**/*.records/*.json"))}
    print(json.dumps({"status": status, "decoder": int((root / "decoder").read_text()), "records": records}))
"""


@pytest.mark.slow
def test_a_killed_extraction_goes_on_where_it_stopped(
    tmp_path: Path,
    tiny_backbones: Mapping[str, Path],
    describe_tiny: DescribeTiny,
    write_video: WriteVideo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed while the second partition is computed, then between two of its shards, then finished.

    In the short profile test_devices.py kills a worker at a clip, and test_writer.py one between shards.
    """
    videos, root = tmp_path / "videos", tmp_path / "root"
    videos.mkdir()
    root.mkdir()
    write_video(videos / "long.mp4", 520, height=32, width=32)
    moments = ("clip:258", "write:5")
    command = [sys.executable, "-c", WORK, str(videos), str(root), str(tiny_backbones["qwen2_5_vl"]), *moments]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=600, text=True)
    assert ended.returncode == 0, ended.stderr
    first, second = (json.loads(line) for line in ended.stdout.splitlines())
    for found in (first, second):
        assert found["status"] == signal.SIGKILL, ended.stderr
        decoder = Path(f"/proc/{found['decoder']}")
        wait_until(lambda decoder=decoder: not decoder.exists(), "the decoder outlives its parent")
    names = [f"set/segment-2-2/tiny/{prompt.key}.records/000000.json" for prompt in PROMPTS]
    assert list(first["records"]) == names
    assert first["records"].items() <= second["records"].items()
    assert second["records"].keys() - set(names) == {names[0].replace("000000", "000001")}

    sampling = SamplingConfig(unit="segment", clip_length=2, frames_per_clip=2)
    settings: dict[str, Any] = {"samplings": (sampling,), "batch_clips": 8}
    computed: list[tuple[int, int]] = []
    run = Extractor.run
    monkeypatch.setattr(Extractor, "run", lambda self, *key: computed.append(key) or run(self, *key))
    description = describe_tiny("qwen2_5_vl", frame_size=(28, 28))
    resumed = make_extractor(videos, root, description, **settings)
    assert run_all(resumed) == [{}]
    assert computed == [(0, 1)]
    straight = make_extractor(videos, tmp_path / "straight", description, **settings)
    run_all(straight)
    for prompt in range(2):
        mine, theirs = store_of(resumed, prompt), store_of(straight, prompt)
        assert len(mine.clips) == 260
        assert_bit_equal(features_of(mine), features_of(theirs))
        assert verify(mine.path).problems == ()
        assert sorted(path.name for path in records_of(mine.path).iterdir()) == ["000000.json", "000001.json"]
