"""Faults: workers killed and suspended at any step, a full disk, readers beside writers.

`VADPROBE_FAULTS` is the number of kills: 60 in the long profile and 2 in the short one unless it says otherwise.
"""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import profiles
from tests.support.builders import BACKBONE, all_features, features, planned_store, tree
from tests.support.paths import ROOT
from tests.support.processes.waiting import PATIENCE
from vadprobe.store.claims.local_claims import LocalStaging
from vadprobe.store.errors import StoreError
from vadprobe.store.format.stored_parts import EVERYTHING
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.verification.verify import verify
from vadprobe.store.writing import disk_space
from vadprobe.store.writing.disk_space import require_space, stored_bytes

FAULTS = int(os.environ.get("VADPROBE_FAULTS") or (60 if profiles.LONG else 2))
N_FRAMES, N_WORKERS = (320, 4) if profiles.LONG else (128, 3)

WORKERS = """
import hashlib, itertools, json, os, random, signal, sys, time, traceback
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import tests.support.models.torchvision
from vadprobe.store.format import schema
schema.PARTITION_ROWS = 8  # before anything imports it: many small partitions
from vadprobe.extract.model.backbone import describe
from vadprobe.extract.configuration import BackboneConfig, ExtractionConfig
from vadprobe.extract.pipeline.extraction import Extractor
from vadprobe.extract.pipeline.planning import plan_extraction
from vadprobe.extract.pipeline import claim_loop
from vadprobe.store.catalog import garbage
from vadprobe.store.datasets.configuration import DatasetConfig
from vadprobe.store.format.configuration import SamplingConfig
from vadprobe.store.datasets.sources import open_dataset
from vadprobe.store.format.prompts import SHIPPED
from vadprobe.store.writing.timings.run_timings import FOLDER
from vadprobe.store.verification.verify import verify

claim_loop.POLL = 0.2
videos, folder, checkpoint = (Path(argument) for argument in sys.argv[2:5])
count, wanted = int(sys.argv[5]), json.loads(sys.argv[6])
backbone = BackboneConfig(key="tiny", path=str(checkpoint), dtype="float32", frame_size=(28, 28))
description = describe(backbone, checkpoint)


class Steps:
    # Counts the steps on files of this process from now on, and sends it a signal before one of them.

    def __init__(self):
        self.calls, self.moment, self.signal = itertools.count(1), None, None
        for name in ("fsync", "replace", "rename", "mkdir", "unlink"):
            setattr(os, name, self.counted(getattr(os, name)))

    def counted(self, function):
        def call(*arguments, **options):
            if self.moment is not None and next(self.calls) == self.moment:
                os.kill(os.getpid(), self.signal)
            return function(*arguments, **options)

        return call


def work(root, fault, moment):
    steps = Steps()
    steps.signal = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[fault]
    if fault == "kill":
        steps.moment = moment  # at any step, while it plans as well
    config = ExtractionConfig(device="cpu", threads=1, batch_clips=4)
    sampling = SamplingConfig(unit="segment", clip_length=2, frames_per_clip=2)
    dataset = open_dataset(DatasetConfig(name="set", videos=str(videos)), Path())
    prompts = [SHIPPED["coarse"], SHIPPED["question"]]
    plan = plan_extraction(dataset, root, [sampling], prompts, description, config)
    extractor = Extractor(dataset, plan, description, config)
    log = os.open(root / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def tell(message):
        os.write(log, f"{message.split()[0]} {os.getpid()}\\n".encode())

    def begun(unit):
        os.write(log, f"start {unit[1]}\\n".encode())

    def finished(outcome):
        os.write(log, f"done {outcome.key.partition}\\n".encode())

    steps.moment = moment
    claim_loop.compute_pending(extractor, claim_loop.Listener(tell=tell, begun=begun, finished=finished))
    steps.moment = moment if fault == "kill" else None
    extractor.commit()
    return next(steps.calls)


def start(root, fault="kill", moment=10**9):
    child = os.fork()
    if child == 0:
        try:
            done = work(root, fault, moment)
            (root / "steps").write_text(str(done))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def records(root):
    found = {path: path.stat() for path in root.glob("set/segment-2-2/tiny/*.records/*.json")}
    return {str(path.relative_to(root)): (stat.st_mtime_ns, stat.st_ino) for path, stat in found.items()}


def digests(root):
    # Of what is there when the half-written clip tables of workers killed while they planned are cleared away.
    garbage.AGE = -1.0
    garbage.collect_garbage([one for one in garbage.find_garbage(root) if one.kind == "half-written"])
    found = {path: path.read_bytes() if path.is_file() else b"" for path in (root / "set" / "segment-2-2").rglob("*")}
    found = {path: content for path, content in found.items() if FOLDER not in path.parts}  # timings differ
    return {str(path.relative_to(root)): hashlib.sha256(content).hexdigest() for path, content in found.items()}


def wake(running, suspended, log):
    # Let suspended workers go on once all others wait for their partitions, or have ended.
    waiting = {int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("Waiting")}
    if running.keys() <= suspended | waiting:
        while suspended:
            os.kill(suspended.pop(), signal.SIGCONT)
    time.sleep(0.02)


def one_store(root, fault, left, most, generator):
    # Workers of which some are struck before a step of theirs, until all has been written.
    root.mkdir()
    kept, suspended, faults, running = {}, set(), 0, {}

    def begin():
        struck = faults + sum(running.values()) < left
        running[start(root, fault, generator.randint(1, most) if struck else 10**9)] = struck

    for _ in range(count):
        begin()
    while running:
        child, status = os.waitpid(-1, os.WUNTRACED | (os.WNOHANG if suspended else 0))
        if child == 0:
            wake(running, suspended, root / "log")
            continue
        if os.WIFEXITED(status):
            assert status == 0, status
            del running[child]
            continue
        assert running[child]
        faults += 1
        running[child] = False
        if fault == "stop":
            assert os.WIFSTOPPED(status), status
            suspended.add(child)
        else:
            assert os.WTERMSIG(status) == signal.SIGKILL, status
            del running[child]
            kept.update(records(root))
            begin()
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
    return {"fault": fault, "faults": faults, "changed": changed, "again": again, "problems": problems,
            "digests": digests(root)}


straight = folder / "straight"
straight.mkdir()
assert os.waitpid(start(straight), 0)[1] == 0
print(json.dumps({"fault": "none", "digests": digests(straight)}), flush=True)
most = int((straight / "steps").read_text()) // (2 * count)  # most workers come so far
for fault, left in wanted.items():
    generator, number = random.Random(fault), 0
    while left > 0:
        found = one_store(folder / f"{fault}-{number}", fault, left, most, generator)
        print(json.dumps(found), flush=True)
        left -= found["faults"]
        number += 1
"""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> Mapping[str, list[Any]]:
    """By fault, every store that some workers wrote while that struck them; "none" is the undisturbed one.

    A worker is struck before a step on files that a seed chooses, not after a time.
    """
    from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone

    folder = tmp_path_factory.mktemp("faults")
    for name in ("videos", "stores"):
        (folder / name).mkdir()
    write_video(folder / "videos" / "long.mp4", N_FRAMES, height=32, width=32)
    checkpoint = make_tiny_backbone(folder / "backbone", "qwen2_5_vl")
    wanted = {"kill": FAULTS, "stop": max(2, FAULTS // 5)}
    places = [ROOT, folder / "videos", folder / "stores", checkpoint]
    command = [sys.executable, "-c", WORKERS, *map(str, places), str(N_WORKERS), json.dumps(wanted)]
    guard = PATIENCE + 60 * FAULTS
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=guard)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its forks too, suspended or not
    assert process.returncode == 0, err[-4000:]
    assert "Traceback" not in err, err[-4000:]
    found: dict[str, list[Any]] = {"none": [], "kill": [], "stop": []}
    for line in map(json.loads, out.splitlines()):
        found[line["fault"]].append(line)
    assert {fault: sum(one["faults"] for one in found[fault]) for fault in wanted} == wanted
    return found


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_workers_killed_or_suspended_at_any_step_finish_the_same_store(
    stores: Mapping[str, list[Any]], fault: str
) -> None:
    """Suspended workers keep their partitions, and go on when the others wait for these."""
    (straight,) = stores["none"]
    for found in stores[fault]:
        assert found["digests"] == straight["digests"]
        assert (found["changed"], found["again"], found["problems"]) == ([], [], [])


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
    publish, calls = LocalStaging.publish, []

    def refuse(self, staged, final):
        calls.append(final)
        if len(calls) == moment + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        publish(self, staged, final)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStaging, "publish", refuse)
        with pytest.raises(StoreError, match=r"partition 0 of .* cannot be written: No space left on device \(.* free"):
            writer.write_partition(0, features(writer.spec, 0))
    assert writer.missing() == [0]
    writer.write_partition(0, features(writer.spec, 0))
    writer.commit()
    assert verify(writer.path).problems == ()


# A budget before the work


def test_work_that_does_not_fit_is_refused_with_both_numbers(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: usage._replace(free=5_000_000))
    require_space(tmp_path / "not" / "there", 5_000_000)
    with pytest.raises(StoreError, match=r"take about 5\.00 GB, but 5\.00 MB are free at .*/there\. Free some space"):
        require_space(tmp_path / "not" / "there", 5_000_100_000)


@pytest.mark.parametrize(("dtype", "bytes_per_value"), [("bfloat16", 1.7), ("float16", 1.9), ("float32", 3.6)])
def test_the_estimate_counts_every_value_once(tmp_path, dtype, bytes_per_value):
    spec = planned_store(tmp_path, 3, dtype).spec
    assert stored_bytes(spec, EVERYTHING, [0]) == pytest.approx(3 * (3 * 6 + 2 * 3 * 4 + 2) * bytes_per_value, abs=1)
    assert stored_bytes(spec, EVERYTHING, []) == 0


# Readers


def test_a_reader_beside_a_writer_sees_whole_partitions_only(tmp_path):
    """The writer goes on when the reader has seen its partition, and writes while the reader reads."""
    writer = planned_store(tmp_path, 256 * 6)
    wanted = all_features(writer.spec, "head_outputs")
    finished, looked, seen, errors = threading.Event(), threading.Condition(), [], []

    def read():
        while not finished.is_set():
            try:
                store = FeatureStore.open(writer.path)
                rows = np.flatnonzero(store.written)
                if len(rows) % 256 or not np.array_equal(store.blocks(rows, [0, 1]), wanted[rows]):
                    errors.append(len(rows))
            except StoreError as error:
                errors.append(error)
            with looked:
                seen.append(len(rows))
                looked.notify()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for partition in range(6):
            writer.write_partition(partition, features(writer.spec, partition))
            with looked:
                assert looked.wait_for(lambda count=256 * (partition + 1): errors or seen[-1:] == [count], PATIENCE)
    finally:
        finished.set()
        thread.join()
    assert errors == []
    assert seen == sorted(seen)
