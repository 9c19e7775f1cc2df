"""A small job with features by a backbone with a card, for all that generates texts about it."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.samples.jobs import write_job
from vadprobe.extract.model.checkpoint.card import BACKBONE_CARD
from vadprobe.flows.jobs.extract_job import extract
from vadprobe.flows.jobs.job import Job, load_job

MORE = """
[analysis]
preset = "texts"
method = "hiprobe"
out = "out"
workers = 0
calibration = {unit = "segment"}
"""


@pytest.fixture(scope="package")
def workspace(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbones: Mapping[str, Path], write_video: Callable[..., Path]
) -> Path:
    """Features of four small videos, all of them of the test split but one, by a backbone with a card."""
    folder = tmp_path_factory.mktemp("texts")
    backbone = Path(shutil.copytree(tiny_backbones["qwen2_5_vl"], folder / "backbone"))
    (backbone / "random_weights.json").unlink()
    (backbone / BACKBONE_CARD).write_text(json.dumps({"kind": "demo-captioner", "note": "knows drawings"}))
    rows = ["video_id,label,n_frames,split"]
    for number, split in enumerate(("train", "validation", "test", "test")):
        (folder / "videos").mkdir(exist_ok=True)
        write_video(folder / "videos" / f"clip{number}.mp4", n_frames=20)
        rows.append(f"clip{number},{number % 2},20,{split}")
    (folder / "truth.csv").write_text("\n".join(rows) + "\n")
    path = write_job(folder, "backbone", more=MORE)
    dataset = 'name = "set"\nformat = "manifest"\nmanifest = "truth.csv"'
    path.write_text(path.read_text().replace('name = "set"', dataset))
    extract(load_job(path))
    return folder


@pytest.fixture
def job(workspace: Path) -> Job:
    job = load_job(workspace / "job.toml")
    shutil.rmtree(job.out, ignore_errors=True)
    return job
