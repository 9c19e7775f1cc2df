"""Small feature stores for tests: a backbone of toy size, a clip table of any length, features and written stores."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.paths import ROOT
from vadprobe.store.datasets.video import Video
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.prompts import Prompt
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.format.schema import partition_rows
from vadprobe.store.format.specification import BackboneSpec, FeatureSpec
from vadprobe.store.format.stored_parts import EVERYTHING, StoredParts
from vadprobe.store.writing.writer import PartitionData, StoreWriter, plan

SAMPLING = Sampling("segment", 24, 8)
PROMPT = Prompt("question", "Does anything abnormal happen in this video? Answer with yes or no.")
SIZES = {"n_layers": 2, "n_heads": 3, "head_dim": 4, "hidden_size": 6}
BACKBONE = BackboneSpec("toy", "toy", "example/toy", "0123456789abcdef", "bfloat16", "eager", **SIZES)
RAGGED = replace(BACKBONE, n_layers=4, block_heads=((3, 2), (0, 0), (2, 4), (3, 2)))
"""A backbone whose blocks differ in their heads; one block has none."""
FEATURES = ("hidden_states", "head_outputs", "answer_logits")
"""Names of the arrays that hold features."""


def clip_table(n_clips: int, sampling: Sampling = SAMPLING, clips_per_video: int = 100) -> ClipTable:
    """Return a table of exactly `n_clips` segments; every video's last clip is one frame short."""
    assert sampling.clip_length is not None
    videos = []
    for number, start in enumerate(range(0, n_clips, clips_per_video)):
        count = min(clips_per_video, n_clips - start)
        videos.append(Video(f"video {number}", f"{number}.mp4", count * sampling.clip_length - 1, 25.0))
    return ClipTable.build(videos, [f"{number:064x}" for number in range(len(videos))], sampling)


def feature_spec(clips: ClipTable, dtype: Any = "bfloat16", **changes: Any) -> FeatureSpec:
    """Return the specification of a store whose rows follow `clips`."""
    spec = FeatureSpec(
        dataset="toys",
        clips_digest=clips.digest,
        n_clips=len(clips),
        sampling=clips.sampling,
        backbone=replace(BACKBONE, dtype=dtype),
        prompt=PROMPT,
        recipe={"frame_size": [56, 84], "answer_ids": [3, 5], "device": "cpu"},
        versions={"torch": "2.13.0"},
    )
    return replace(spec, **changes)


def store_path(root: Path, spec: FeatureSpec) -> Path:
    """Return the path of a specification's store below a root."""
    return DatasetLayout(root, spec.dataset).store(spec.sampling, spec.backbone.key, spec.prompt.key)


def truncate_to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Return float32 values with their low 16 bits cleared: the nearest bfloat16 towards zero."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32)


def features(spec: FeatureSpec, partition: int, failures: Mapping[int, str] | None = None) -> PartitionData:
    """Return random features of a partition, equal at every call; rows named in `failures` are NaN."""
    rows = partition_rows(partition, spec.n_clips)
    failures = {row: reason for row, reason in (failures or {}).items() if rows.start <= row < rows.stop}
    generator = np.random.default_rng(partition)
    data = PartitionData.empty(spec, rows.stop - rows.start)
    for name in FEATURES:
        values = getattr(data, name)
        drawn = generator.standard_normal(values.shape, dtype=np.float32)
        values[...] = truncate_to_bfloat16(drawn) if spec.backbone.dtype == "bfloat16" else drawn
        if name == "head_outputs":
            _clear_absent(values, spec.backbone)
        values[[row - rows.start for row in failures]] = np.nan
    return replace(data, failures=failures)


def _clear_absent(values: np.ndarray, backbone: BackboneSpec) -> None:
    """Set heads that a block does not have to NaN, as a reader gives them, and values beyond a narrower head to 0."""
    for block, (heads, width) in enumerate(backbone.head_shapes):
        values[:, block, heads:] = np.nan
        values[:, block, :heads, width:] = 0


def planned_store(
    root: Path,
    n_clips: int,
    dtype: str = "bfloat16",
    contents: StoredParts = EVERYTHING,
    sampling: Sampling = SAMPLING,
    appends: bool = False,
    **changes: Any,
) -> StoreWriter:
    """Plan a store without any partition, or one that has grown; changes are those of its specification."""
    clips = clip_table(n_clips, sampling)
    spec = feature_spec(clips, dtype, **changes)
    return plan(store_path(root, spec), spec, clips, contents, appends)


def write_missing(writer: StoreWriter, failures: Mapping[int, str] | None = None) -> list[int]:
    """Write `features` of every partition that is not written yet, and return these partitions."""
    missing = writer.missing()
    for partition in missing:
        writer.write_partition(partition, features(writer.spec, partition, failures))
    return missing


def committed_store(
    root: Path, n_clips: int, dtype: str = "bfloat16", failures: Mapping[int, str] | None = None, **settings: Any
) -> StoreWriter:
    """Commit a store whose every partition holds `features`; settings are those of `planned_store`."""
    writer = planned_store(root, n_clips, dtype, **settings)
    write_missing(writer, failures)
    writer.commit()
    return writer


def all_features(spec: FeatureSpec, name: str, failures: Mapping[int, str] | None = None) -> np.ndarray:
    """Return all rows of one array of a store of `features`."""
    count = -(-spec.n_clips // 256)
    return np.concatenate([getattr(features(spec, partition, failures), name) for partition in range(count)])


def tree(folder: Path) -> dict[str, str]:
    """Return every file and folder below `folder` with the digest of its bytes: equal trees hold equal bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def edit_json(path: Path, edit: Callable[[Any], object]) -> None:
    """Change a JSON file as a person with an editor would: `edit` changes the loaded value in place."""
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


_TOGETHER = """
import os, sys, traceback
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.support import builders
argument, count, repeats = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
start, begin = os.pipe()
children = []
for _ in range(count):
    child = os.fork()
    if child == 0:
        try:
            os.close(begin)
            os.read(start, 1)  # until the parent has closed its end, and all go on
            for _ in range(repeats):
                {statement}
        except BaseException as error:
            print(repr(error), flush=True)
        os._exit(0)
    children.append(child)
os.close(begin)
for child in children:
    os.waitpid(child, 0)
"""


def run_together(count: int, statement: str, argument: Path, repeats: int = 1) -> list[str]:
    """Run a statement in `count` processes that start at the same moment; return the errors they ended with.

    The statement may use `builders`, `Path` and `argument`, a path.
    """
    script = _TOGETHER.replace("{statement}", statement)
    arguments = [str(ROOT), str(argument), str(count), str(repeats)]
    result = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return result.stdout.splitlines()
