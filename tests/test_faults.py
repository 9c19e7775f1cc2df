"""Faults: workers killed and suspended at random moments, a full disk, readers beside writers.

``VADPROBE_FAULTS`` is the number of kills, 8 unless it says otherwise.
"""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import BACKBONE, all_features, features, planned_store, tree

from vadprobe.store import space
from vadprobe.store.contents import EVERYTHING
from vadprobe.store.errors import StoreError
from vadprobe.store.reader import FeatureStore
from vadprobe.store.space import require_space, stored_bytes
from vadprobe.store.staging import Staging
from vadprobe.store.verification import verify

FAULTS = int(os.environ.get("VADPROBE_FAULTS", "8"))

WORKERS = """
import hashlib, json, os, random, signal, sys, time, traceback
from pathlib import Path
from vadprobe.store import claims, schema
schema.PARTITION_ROWS = 8  # before anything imports it: many small partitions
claims.LEASE = 1.0
from vadprobe.extract.backbone import describe
from vadprobe.extract.configuration import BackboneConfig, ExtractionConfig
from vadprobe.extract.extraction import Extractor
from vadprobe.extract.planning import plan_extraction
from vadprobe.flows import extraction_job
from vadprobe.store.configuration import DatasetConfig, SamplingConfig
from vadprobe.store.dataset_sources import open_dataset
from vadprobe.store.prompts import SHIPPED
from vadprobe.store.verification import verify

extraction_job.POLL = 0.2
videos, folder, checkpoint = (Path(argument) for argument in sys.argv[1:4])
fault, wanted, count, seed = sys.argv[4], int(sys.argv[5]), int(sys.argv[6]), int(sys.argv[7])
backbone = BackboneConfig(key="tiny", path=str(checkpoint), dtype="float32", frame_size=(28, 28))
description = describe(backbone, checkpoint)
generator = random.Random(seed)


def work(root):
    config = ExtractionConfig(device="cpu", threads=1, batch_clips=4)
    sampling = SamplingConfig(unit="segment", clip_length=2, frames_per_clip=2)
    dataset = open_dataset(DatasetConfig(name="set", videos=str(videos)), Path())
    prompts = [SHIPPED["coarse"], SHIPPED["question"]]
    plan = plan_extraction(dataset, root, [sampling], prompts, description, config)
    extractor = Extractor(dataset, plan, description, config)
    log = os.open(root / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def tell(message):
        if "took" in message or "taken over" in message:
            os.write(log, b"lost -\\n")

    def begun(unit):
        os.write(log, f"start {unit[1]}\\n".encode())

    def finished(outcome):
        os.write(log, f"done {outcome.unit[1]}\\n".encode())

    extraction_job.compute_pending(extractor, extraction_job.Listener(tell=tell, begun=begun, finished=finished))
    extractor.commit()


def start(root):
    child = os.fork()
    if child == 0:
        try:
            work(root)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def records(root):
    found = {path: path.stat() for path in root.glob("set/segment-2-2/tiny/*.records/*.json")}
    return {str(path.relative_to(root)): (stat.st_mtime_ns, stat.st_ino) for path, stat in found.items()}


def digests(root):
    found = {path: path.read_bytes() if path.is_file() else b"" for path in (root / "set" / "segment-2-2").rglob("*")}
    return {str(path.relative_to(root)): hashlib.sha256(content).hexdigest() for path, content in found.items()}


def one_store(root, left):
    root.mkdir()
    kept, suspended, faults = {}, [], 0
    running = [start(root) for _ in range(count)]
    while running:
        time.sleep(generator.uniform(0.0, 0.8))
        ended = [child for child in running if os.waitpid(child, os.WNOHANG)[0]]
        running = [child for child in running if child not in ended]
        suspended = [(one, since) for one, since in suspended if one in running]  # the others ended before the signal
        busy = [child for child in running if child not in [one for one, _ in suspended]]
        if busy and faults < left and (root / "log").exists() and not ended:
            victim = generator.choice(busy)
            if fault == "kill":
                kept.update(records(root))
                os.kill(victim, signal.SIGKILL)
                _, status = os.waitpid(victim, 0)
                running.remove(victim)
                if status == signal.SIGKILL:
                    faults += 1
                    running.append(start(root))
            elif len(suspended) < count - 1:
                os.kill(victim, signal.SIGSTOP)
                suspended.append((victim, time.monotonic()))
                faults += 1
        awake = [child for child in running if child not in [one for one, _ in suspended]]
        for one, since in list(suspended):
            if not awake or time.monotonic() - since > 30:  # the others have taken over and done everything
                os.kill(one, signal.SIGCONT)
                suspended.remove((one, since))
    last = start(root)  # whatever is left; then a worker with nothing to do commits again
    assert os.waitpid(last, 0)[1] == 0
    changed = [name for name, stamp in records(root).items() if name in kept and kept[name] != stamp]
    done, again = set(), []
    for line in (root / "log").read_text().splitlines():
        word, partition = line.split()
        if word == "start" and partition in done:
            again.append(partition)
        elif word == "done":
            done.add(partition)
    problems = [str(problem) for store in root.rglob("*.zarr") for problem in verify(store).problems]
    return {"faults": faults, "changed": changed, "again": again, "problems": problems,
            "lost": (root / "log").read_text().count("lost"), "digests": digests(root)}


straight = folder / "straight"
straight.mkdir()
assert os.waitpid(start(straight), 0)[1] == 0
print(json.dumps({"digests": digests(straight)}), flush=True)
number = 0
while wanted > 0:
    found = one_store(folder / str(number), wanted)
    print(json.dumps(found), flush=True)
    wanted -= found["faults"]
    number += 1
"""


def run_workers(folder: Path, videos: Path, checkpoint: Path, fault: str, count: int, seed: int) -> list[dict]:
    """Every store that four workers wrote while ``count`` faults struck, after the undisturbed one."""
    folder.mkdir()
    command = [sys.executable, "-c", WORKERS, videos, folder, checkpoint, fault, str(count), "4", str(seed)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60 + 30 * count, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert "Traceback" not in ended.stderr, ended.stderr[-4000:]
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.fixture(scope="module")
def long_video(tmp_path_factory, write_video) -> Path:
    folder = tmp_path_factory.mktemp("long")
    write_video(folder / "long.mp4", 320, height=32, width=32)
    return folder


@pytest.mark.slow
def test_workers_killed_at_random_finish_the_same_store(
    tmp_path: Path, tiny_backbones: Mapping[str, Path], long_video: Path
) -> None:
    straight, *disturbed = run_workers(
        tmp_path / "stores", long_video, tiny_backbones["qwen2_5_vl"], "kill", FAULTS, seed=1
    )
    assert sum(found["faults"] for found in disturbed) == FAULTS
    for found in disturbed:
        assert found["digests"] == straight["digests"]
        assert (found["changed"], found["again"], found["problems"]) == ([], [], [])


@pytest.mark.slow
def test_workers_suspended_until_others_take_over_do_no_harm(
    tmp_path: Path, tiny_backbones: Mapping[str, Path], long_video: Path
) -> None:
    count = max(3, FAULTS // 5)
    straight, *disturbed = run_workers(
        tmp_path / "stores", long_video, tiny_backbones["qwen2_5_vl"], "stop", count, seed=2
    )
    for found in disturbed:
        assert found["digests"] == straight["digests"]
        assert found["problems"] == []
    # Whether a worker was stopped while it held a claim depends on the machine's load; the interleavings that matter
    # are gone through step by step in test_claims.py.


# A full disk


@pytest.fixture
def small_disk(tmp_path):
    """A file system of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_leaves_what_was_written(small_disk):
    writer = planned_store(small_disk, 513, backbone=replace(BACKBONE, hidden_size=600))  # 0.8 MB a partition
    writer.write_partition(0, features(writer.spec, 0))
    before = tree(writer.path)
    ballast = small_disk / "ballast"
    for free in (0, 4, 16, 64, 256, 600):
        ballast.unlink(missing_ok=True)
        fill(ballast, free * 1024)
        with pytest.raises(StoreError, match=r"(cannot be written|cannot be kept).*No space left on device"):
            writer.write_partition(1, features(writer.spec, 1))
        assert tree(writer.path) == before
        assert writer.missing() == [1, 2]
    ballast.unlink()
    for partition in (1, 2):
        writer.write_partition(partition, features(writer.spec, partition))
    writer.commit()
    assert verify(writer.path).problems == ()
    assert not list(small_disk.rglob("*.staging"))


def fill(path, leave):
    """Fill the file system but for some bytes."""
    with path.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        file.truncate(max(0, file.tell() - leave))


def test_a_disk_that_is_full_while_a_store_is_created_leaves_none(small_disk):
    ballast = small_disk / "ballast"
    writer = planned_store(small_disk, 3)
    shutil.rmtree(writer.path)
    fill(ballast, 8192)
    with pytest.raises(StoreError, match=r"cannot be created: No space left on device"):
        planned_store(small_disk, 3)
    assert not writer.path.exists()
    ballast.unlink()
    assert planned_store(small_disk, 3).missing() == [0]


@pytest.mark.parametrize("moment", [0, 1, 2, 3])
def test_a_disk_that_refuses_while_files_are_moved_leaves_a_valid_store(tmp_path, monkeypatch, moment):
    writer = planned_store(tmp_path, 3)
    publish, calls = Staging.publish, []

    def refuse(self, staged, final):
        calls.append(final)
        if len(calls) == moment + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        publish(self, staged, final)

    with monkeypatch.context() as patch:
        patch.setattr(Staging, "publish", refuse)
        with pytest.raises(StoreError, match=r"partition 0 of .* cannot be written: No space left on device \(.* free"):
            writer.write_partition(0, features(writer.spec, 0))
    assert writer.missing() == [0]
    writer.write_partition(0, features(writer.spec, 0))
    writer.commit()
    assert verify(writer.path).problems == ()


# A budget before the work


def test_work_that_does_not_fit_is_refused_with_both_numbers(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda path: usage._replace(free=5_000_000))
    require_space(tmp_path / "not" / "there", 5_000_000)
    with pytest.raises(StoreError, match=r"take about 5,000\.1 MB, but 5\.0 MB are free at .*/there\. Free some space"):
        require_space(tmp_path / "not" / "there", 5_000_100_000)


@pytest.mark.parametrize(("dtype", "bytes_per_value"), [("bfloat16", 1.7), ("float16", 1.9), ("float32", 3.6)])
def test_the_estimate_counts_every_value_once(tmp_path, dtype, bytes_per_value):
    spec = planned_store(tmp_path, 3, dtype).spec
    assert stored_bytes(spec, EVERYTHING, [0]) == pytest.approx(3 * (3 * 6 + 2 * 3 * 4 + 2) * bytes_per_value, abs=1)
    assert stored_bytes(spec, EVERYTHING, []) == 0


# Readers


def test_a_reader_beside_a_writer_sees_whole_partitions_only(tmp_path):
    writer = planned_store(tmp_path, 256 * 6)
    wanted = all_features(writer.spec, "head_outputs")
    finished, seen, errors = threading.Event(), [], []

    def read():
        while not finished.is_set():
            store = FeatureStore.open(writer.path)
            rows = np.flatnonzero(store.written)
            seen.append(len(rows))
            if len(rows) % 256 or not np.array_equal(store.blocks(rows, [0, 1]), wanted[rows]):
                errors.append(len(rows))

    thread = threading.Thread(target=read)
    thread.start()
    for partition in range(6):
        writer.write_partition(partition, features(writer.spec, partition))
        time.sleep(0.05)
    finished.set()
    thread.join()
    assert errors == []
    assert len(set(seen)) >= 4
    assert seen == sorted(seen)
