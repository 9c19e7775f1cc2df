"""The extraction loop end to end: right features in the right rows, whatever fails, stops or is added later."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.extractions import (
    ARRAYS,
    PROMPTS,
    SEGMENTS,
    SHALLOW,
    WHOLE,
    features_of,
    make_extractor,
    run_all,
    store_of,
    warm,
)
from tests.support.oracles.eager_reference import ROUNDING
from tests.support.paths import SHARED
from tests.support.processes.process_state import state_of
from tests.support.profiles import some
from vadprobe.extract.model import shared_prefix
from vadprobe.extract.model.backbone import Backbone, Description, load
from vadprobe.extract.pipeline import claim_loop, extraction
from vadprobe.extract.pipeline.claim_loop import Listener, compute_pending
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.video import decode_pool
from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.claims.claim import ClaimLostError
from vadprobe.store.claims.claiming import claims_in
from vadprobe.store.claims.local_claims import LocalClaim
from vadprobe.store.errors import StoreError, VideoError
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.format.layout import records_of
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing import disk_space

REAL_VIDEOS = SHARED / "videos"
DescribeTiny = Callable[..., Description]
WriteVideo = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def _warm() -> Iterator[None]:
    with warm():
        yield


def largest_difference(
    mine: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], rows: Any = slice(None)
) -> float:
    return max(float(np.abs(mine[name][rows] - theirs[name][rows]).max()) for name in ARRAYS)


def assert_bit_equal(mine: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> None:
    for name in ARRAYS:
        assert mine[name].tobytes() == theirs[name].tobytes(), name


def refuse_to_load(*arguments: Any) -> Backbone:
    raise AssertionError("weights were loaded")


@pytest.fixture(scope="module")
def internvl(describe_tiny: DescribeTiny) -> Description:
    return describe_tiny("internvl")


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory, video_folder: Path, internvl: Description) -> Extractor:
    """Three videos and two prompts, extracted and committed; only to be read."""
    extractor = make_extractor(video_folder, tmp_path_factory.mktemp("root"), internvl)
    run_all(extractor)
    return extractor


@pytest.fixture
def copied_root(tmp_path: Path, extracted: Extractor) -> Path:
    """A root of one's own that holds what was extracted."""
    source = extracted.plan.samplings[0].writers[0].path.parents[3]
    return Path(shutil.copytree(source, tmp_path / "root"))


# End to end


@pytest.fixture(scope="module", params=some(["internvl", "internvl-llama", "qwen2_5_vl"], 2))
def whole_run(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    video_folder: Path,
    describe_tiny: DescribeTiny,
) -> tuple[Extractor, list[dict[int, str]]]:
    """Two samplings and two prompts over three videos, for each family."""
    root = tmp_path_factory.mktemp("root")
    extractor = make_extractor(video_folder, root, describe_tiny(request.param), samplings=(SEGMENTS, WHOLE))
    return extractor, run_all(extractor)


def test_every_clip_is_written_and_verified(whole_run: tuple[Extractor, list[dict[int, str]]]) -> None:
    extractor, failures = whole_run
    assert failures == [{}, {}]
    assert extractor.pending() == []
    for position, n_clips in enumerate((9, 3)):
        for prompt in range(2):
            store = store_of(extractor, prompt, position)
            assert len(store.clips) == n_clips
            assert store.written.all()
            assert store.failures == {}
            found = verify(store.path)
            assert (found.problems, found.n_rows, found.n_failed) == ((), n_clips, 0)


def test_each_row_holds_what_generate_reports_for_its_clip(
    whole_run: tuple[Extractor, list[dict[int, str]]], video_folder: Path
) -> None:
    """Clip, prompt and row belong together: every row is computed again alone, through the library's ``generate``."""
    extractor, _ = whole_run
    description, model = extractor.description, extractor.backbone.model
    norm = model.get_decoder().norm
    with Decoder() as decoder:
        for position, prompt in itertools.product(range(2), range(2)):
            store = store_of(extractor, prompt, position)
            features = features_of(store)
            for row in range(len(store.clips)):
                report = generate_for(store, row, description, model, video_folder, decoder)
                hidden = torch.cat([layer[:, -1] for layer in report.hidden_states[0]])
                mine = torch.tensor(features["hidden_states"][row])
                assert float((mine[:-1] - hidden[:-1]).abs().max()) <= ROUNDING
                assert float((norm(mine[-1]) - hidden[-1]).abs().max()) <= ROUNDING
                logits = report.logits[0][0, list(description.answer_ids)]
                assert float((torch.tensor(features["answer_logits"][row]) - logits).abs().max()) <= ROUNDING


@torch.inference_mode()
def generate_for(
    store: FeatureStore, row: int, description: Description, model: Any, videos: Path, decoder: Decoder
) -> Any:
    clip, family = store.clips.clip(row), description.family
    path = videos / f"{clip.video_id}.mp4"
    fps = decoder.probe(path)[1]
    frames = decoder.read_clip(path, clip.frame_indices)
    inputs = family.prepare([frames], [(clip.stop_frame - clip.start_frame) / fps], torch.device("cpu"))
    ids = family.tokenize(store.spec.prompt.text, store.spec.sampling.frames_per_clip)
    return model.generate(
        **{**family.language_inputs(ids, inputs), **inputs.vision},
        max_new_tokens=1,
        do_sample=False,
        output_hidden_states=True,
        output_logits=True,
        return_dict_in_generate=True,
    )


def test_clips_and_prompts_have_features_of_their_own(whole_run: tuple[Extractor, list[dict[int, str]]]) -> None:
    extractor, _ = whole_run
    first, second = (features_of(store_of(extractor, prompt))["head_outputs"] for prompt in range(2))
    assert np.abs(first - second).max(axis=(1, 2, 3)).min() > 1e-3
    for one in range(len(first)):
        for other in range(one):
            assert np.abs(first[one] - first[other]).max() > 1e-4


def test_each_clip_is_reported_once(tmp_path: Path, video_folder: Path, internvl: Description) -> None:
    samplings = [sampling.model_copy(update=SHALLOW) for sampling in (SEGMENTS, WHOLE)]
    extractor = make_extractor(video_folder, tmp_path / "root", internvl, samplings=samplings)
    done: list[bool] = []
    for position, partition in extractor.pending():
        extractor.run(position, partition, done.append)
    assert done == [True] * 12
    assert sum(extractor.n_rows(position, 0) for position in range(2)) == 12


def test_the_batch_size_hardly_changes_a_feature(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor
) -> None:
    wanted = features_of(store_of(extracted))
    for size in (1, 100):
        other = make_extractor(video_folder, tmp_path / str(size), internvl, batch_clips=size)
        run_all(other)
        assert largest_difference(features_of(store_of(other)), wanted) <= ROUNDING


def test_the_vision_tower_runs_once_for_all_prompts(
    tmp_path: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = make_extractor(video_folder, tmp_path / "root", internvl)
    inner, calls = extractor.backbone.model.model, []
    original = inner.get_image_features
    monkeypatch.setattr(inner, "get_image_features", lambda **given: calls.append(1) or original(**given))
    run_all(extractor)
    assert len(calls) == 3  # nine clips, four at a time


def test_bfloat16_features_are_stored_without_loss(
    tmp_path: Path, video_folder: Path, describe_tiny: DescribeTiny
) -> None:
    extractor = make_extractor(video_folder, tmp_path / "root", describe_tiny("internvl", dtype="bfloat16"))
    run_all(extractor)
    assert verify(store_of(extractor).path).problems == ()
    for values in features_of(store_of(extractor)).values():
        assert values.dtype == np.float32
        assert not np.any(values.view(np.uint32) & 0xFFFF)
        assert np.isfinite(values).all()


# Doing it again, and adding to it


def test_a_second_run_has_nothing_to_do_and_loads_nothing(
    copied_root: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(copied_root)
    monkeypatch.setattr(extraction, "load", refuse_to_load)
    monkeypatch.setattr(decode_pool, "Decoder", refuse_to_load)
    again = make_extractor(video_folder, copied_root, internvl)
    assert again.pending() == []
    assert again.run(0, 0) == {}
    assert again.commit() == [{}]
    changed = {name for name, time_changed in files_of(copied_root).items() if before.get(name) != time_changed}
    assert changed == {"set/videos.parquet"}


def files_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_prompt_added_later_is_computed_alone(
    tmp_path: Path, copied_root: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = SHIPPED["role"]
    stores = sorted(copied_root.glob("set/*/tiny/*.zarr"))
    before = [files_of(path) for path in stores]
    assert [path.stem for path in stores] == ["coarse", "question"]
    asked: list[int] = []
    original = shared_prefix.capture

    def count(model: Any, parts: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        asked.append(inputs["input_ids"].shape[0])
        return original(model, parts, inputs, *rest)

    monkeypatch.setattr(shared_prefix, "capture", count)
    more = make_extractor(video_folder, copied_root, internvl, (*PROMPTS, added))
    assert more.pending() == [(0, 0)]
    run_all(more)
    assert asked == [4, 4, 1]
    assert [files_of(path) for path in stores] == before
    together = make_extractor(video_folder, tmp_path / "together", internvl, (*PROMPTS, added))
    run_all(together)
    for prompt in range(3):
        assert_bit_equal(features_of(store_of(more, prompt)), features_of(store_of(together, prompt)))


def test_an_unfinished_extraction_is_not_committed(tmp_path: Path, video_folder: Path, internvl: Description) -> None:
    extractor = make_extractor(video_folder, tmp_path / "root", internvl, samplings=(SEGMENTS, WHOLE))
    extractor.run(0, 0)
    assert extractor.pending() == [(1, 0)]
    with pytest.raises(StoreError, match=r"1 of 1 partitions are not written, first 0\. Run 'vadprobe extract' again"):
        extractor.commit()


# Clips that fail


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


# What stops it


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
    assert wait_until(lambda: not decoding_threads() and all(process.poll() is not None for process in started))
    assert extractor.pending() == [(0, 0)]
    assert run_all(extractor) == [{}]


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "decode-ahead"]


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


WORK = """
import json, os, signal, subprocess, sys, traceback
from pathlib import Path
from vadprobe.extract.model.backbone import describe
from vadprobe.extract.configuration import BackboneConfig, ExtractionConfig
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.planning import plan_extraction
from vadprobe.store.settings import DatasetConfig, SamplingConfig
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.claims.local_claims import LocalStaging

videos, root, checkpoint = (Path(argument) for argument in sys.argv[1:4])
backbone = BackboneConfig(key="tiny", path=str(checkpoint), dtype="float32", frame_size=(28, 28))
description = describe(backbone, checkpoint)
config = ExtractionConfig(device="cpu", threads=1, batch_clips=8)
sampling = SamplingConfig(unit="segment", clip_length=2, frames_per_clip=2)
prompts = [SHIPPED["coarse"], SHIPPED["question"]]
start, stage = subprocess.Popen.__init__, LocalStaging.stage


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
        LocalStaging.stage = lambda self, name, pieces: (name.endswith("json") or die(), stage(self, name, pieces))
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
    assert wait_until(lambda: state_of(decoder) == "Z"), (
        "the decoder outlives its parent"
    )  # its new parent may not wait


@pytest.mark.slow
def test_a_killed_extraction_goes_on_where_it_stopped(
    tmp_path: Path,
    tiny_backbones: Mapping[str, Path],
    describe_tiny: DescribeTiny,
    write_video: WriteVideo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed while the second partition is computed, then between two of its shards, then finished.

    In the short profile test_several_devices.py kills a worker at a clip, and test_writer.py one between shards.
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
        assert wait_until(lambda decoder=decoder: not decoder.exists()), "the decoder outlives its parent"
    names = [f"set/segment-2-2/tiny/{prompt.key}.records/000000.json" for prompt in PROMPTS]
    assert list(first["records"]) == names
    assert first["records"].items() <= second["records"].items()
    assert second["records"].keys() - set(names) == {names[0].replace("000000", "000001")}

    sampling = SamplingConfig(unit="segment", clip_length=2, frames_per_clip=2)
    settings: dict[str, Any] = {"samplings": (sampling,), "batch_clips": 8}
    computed: list[tuple[int, int]] = []
    run = Extractor.run
    monkeypatch.setattr(Extractor, "run", lambda self, *unit: computed.append(unit) or run(self, *unit))
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


def test_work_that_does_not_fit_on_the_disk_is_refused_before_it_begins(
    tmp_path: Path, copied_root: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StoreError, match=r"still to be written take about 0\.\d MB, but 0\.0 MB are free at .*/other"):
        make_extractor(video_folder, tmp_path / "other", internvl)
    assert make_extractor(video_folder, copied_root, internvl).pending() == []  # nothing is left to compute


# Beside other workers


def test_a_partition_in_other_hands_is_refused_at_once(
    tmp_path: Path, video_folder: Path, internvl: Description
) -> None:
    extractor = make_extractor(video_folder, tmp_path / "root", internvl)
    other = claims_in(store_of(extractor).path.parent)
    with (
        other.hold(0),
        pytest.raises(StoreError, match=r"partition 0 below .* is being written by another worker \(pro"),
    ):
        extractor.run(0, 0)
    assert extractor.run(0, 0) == {}
    assert extractor.pending() == []


@pytest.mark.parametrize("finished", [True, False])
def test_partitions_in_other_hands_come_last_and_are_waited_for(
    tmp_path: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    """The other worker finishes its partition, or gives it back."""
    monkeypatch.setattr(claim_loop, "POLL", 0.05)
    samplings = [sampling.model_copy(update=SHALLOW) for sampling in (SEGMENTS, WHOLE)]
    extractor = make_extractor(video_folder, tmp_path / "root", internvl, samplings=samplings)
    other = make_extractor(video_folder, tmp_path / "root", internvl, samplings=samplings)
    claim, told = other.claims(0).hold(0), []

    def let_go(message: str) -> None:
        told.append(message)
        assert extractor.pending() == [(0, 0)]
        if finished:
            other.run(0, 0, None, claim)
        claim.release()

    elsewhere: list[tuple[int, int]] = []
    computed = compute_pending(extractor, Listener(tell=let_go, elsewhere=elsewhere.append))
    assert told == [
        f"Waiting for 1 partition in the hands of other workers: partition 0 of segment-8-4 (process {os.getpid()} on "
        f"{os.uname().nodename}). A worker that ends is replaced; one that is suspended is waited for."
    ]
    assert (computed, elsewhere) == (([(1, 0)], [(0, 0)]) if finished else ([(1, 0), (0, 0)], []))
    assert extractor.commit() == other.commit() == [{}, {}]
    assert verify(store_of(extractor).path).problems == ()


def test_a_lost_partition_is_tried_again(
    tmp_path: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_loop, "POLL", 0.05)
    extractor = make_extractor(video_folder, tmp_path / "root", internvl)
    told: list[str] = []

    def lose(self: LocalClaim) -> None:  # as a claim on an object store may be lost
        if not told:
            raise ClaimLostError("another worker took it over")

    monkeypatch.setattr(LocalClaim, "check", lose)
    assert compute_pending(extractor, Listener(tell=told.append)) == [(0, 0)]
    assert told[0] == "another worker took it over"
    assert extractor.commit() == [{}]


def test_rows_are_told_apart_by_prompt_key_not_by_place(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor
) -> None:
    backwards = make_extractor(video_folder, tmp_path / "backwards", internvl, PROMPTS[::-1])
    run_all(backwards)
    for prompt in range(2):
        assert_bit_equal(features_of(store_of(backwards, 1 - prompt)), features_of(store_of(extracted, prompt)))


def test_a_loaded_backbone_serves_all_partitions(
    tmp_path: Path, video_folder: Path, internvl: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []

    def count(description: Description, device: str, *options: Any, **more: Any) -> Backbone:
        loads.append(device)
        return load(description, device, *options, **more)

    monkeypatch.setattr(extraction, "load", count)
    run_all(make_extractor(video_folder, tmp_path / "root", internvl, samplings=(SEGMENTS, WHOLE)))
    assert loads == ["cpu"]


def test_prompts_in_passes_of_their_own_have_the_same_features_up_to_rounding(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor, copied_root: Path
) -> None:
    shared = extracted
    own = make_extractor(video_folder, tmp_path / "own", internvl, prefix="independent")
    run_all(own)
    for prompt, mode in ((0, "shared"), (1, "shared")):
        assert store_of(shared, prompt).spec.recipe["prefix"] == mode
        assert store_of(own, prompt).spec.recipe["prefix"] == "independent"
        mine, theirs = features_of(store_of(shared, prompt)), features_of(store_of(own, prompt))
        for name in ARRAYS:
            np.testing.assert_allclose(mine[name], theirs[name], rtol=0, atol=ROUNDING)
    with pytest.raises(StoreError, match=r"recipe.prefix: 'shared', not 'independent'"):
        make_extractor(video_folder, copied_root, internvl, prefix="independent")


def test_a_selection_is_computed_no_deeper_than_it_lies_and_has_the_same_bits(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor
) -> None:
    part = SEGMENTS.model_copy(update={"layers": (0, 2), "heads": ((1, 3), (2, 0)), "answers": False})
    whole = extracted
    some = make_extractor(video_folder, tmp_path / "some", internvl, samplings=(part,))
    ran: list[int] = []
    hooks = [
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, block in enumerate(some.backbone.parts.blocks)
    ]
    run_all(some)
    for hook in hooks:
        hook.remove()
    assert max(ran) == 2
    rows = np.arange(9)
    for prompt in range(2):
        mine, full = store_of(some, prompt), store_of(whole, prompt)
        np.testing.assert_array_equal(mine.hidden_states(rows, [2, 0]), full.hidden_states(rows, [2, 0]))
        np.testing.assert_array_equal(mine.head_outputs(rows, [(2, 0)]), full.head_outputs(rows, [(2, 0)]))
        with pytest.raises(StoreError, match=r"it holds no answer_logits"):
            mine.answer_logits(rows)
        assert verify(mine.path).problems == ()


def test_a_template_with_the_text_before_the_video_shares_nothing_and_says_so(
    tmp_path: Path, video_folder: Path, internvl: Description, extracted: Extractor
) -> None:
    family: Any = internvl.family
    template = (
        "{%- for message in messages -%}<|im_start|>{{ message.role }}\n{{ message.content[1].text }}\n<video>"
        "<|im_end|>\n{%- endfor -%}<|im_start|>assistant\n"
    )
    other = replace(internvl, family=replace(family, chat=replace(family.chat, template=template)))
    extractor = make_extractor(video_folder, tmp_path / "root", other)
    assert extractor.plan.notes == (
        "segment-8-4: coarse, question run over the whole video again, because the checkpoint's chat template puts a "
        "prompt's text before the video, or into its tokens.",
    )
    assert run_all(extractor) == [{}]
    assert store_of(extractor).spec.recipe["prefix"] == "independent"
    assert make_extractor(video_folder, tmp_path / "asked", other, prefix="independent").plan.notes == ()
    assert extracted.plan.notes == ()
