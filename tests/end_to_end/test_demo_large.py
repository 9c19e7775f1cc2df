"""The shipped demo backbone on a larger world than the demo's, where intervals are narrow enough to tell.

400 videos of a seed of their own, under one prompt. The same rows on the demo's two sets, for three training seeds,
stand in docs/explanation/demo.md.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.support.planted import blank_pictures
from vadprobe.analyze.calibration.folds import video_folds
from vadprobe.analyze.probes.unit_probing import probe_units
from vadprobe.extract.demo.scenes.shot import UNNAMED_KINDS
from vadprobe.flows.commands.experiments.tables import print_tables
from vadprobe.flows.jobs.demo.ingredients import BACKBONE, FIRST_SET, install_backbone, make_set, preset
from vadprobe.flows.jobs.extract_job import extract
from vadprobe.flows.jobs.job import Job, load_job
from vadprobe.store import FeatureStore
from vadprobe.store.datasets.dataset import read_manifest

pytestmark = pytest.mark.slow

SEED, N_VIDEOS = 101, 400
LAYERS = (3, 4, 5)
CHANGES = {
    'splits = ["validation", "test"]': 'splits = ["train", "validation", "test"]',
    'prompts = ["detailed", "coarse", "question"]': 'prompts = ["detailed"]',
}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """HiProbe's job under one prompt, extracted: segments of every split, videos of the training split."""
    folder = tmp_path_factory.mktemp("large")
    install_backbone(folder / "backbones" / BACKBONE)
    make_set(folder / FIRST_SET, SEED, N_VIDEOS, None)
    with preset("hiprobe") as shipped:
        text = shipped.read_text()
    for before, after in CHANGES.items():
        assert before in text, before
        text = text.replace(before, after)
    (folder / "hiprobe.toml").write_text(text)
    job = load_job(folder / "hiprobe.toml", folder)
    extract(job)
    return job


@pytest.fixture(scope="module")
def rows(job: Job, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """AUC of the rows of the comparison by key, both methods on the features of this job."""
    folder = tmp_path_factory.mktemp("tables")
    with blank_pictures():
        print_tables([job], ["comparison"], 1, None, folder)
    found = json.loads((folder / "comparison.json").read_text())["rows"]
    return {row["key"]: row["numbers"]["auc"] for row in found}


def test_dlsp_takes_a_layer_as_good_as_the_best(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["dlsp"]["value"] >= rows["best-layer"]["value"] - 0.01


def test_rhi_is_above_the_median_random_draw(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["rhi"]["value"] > rows["random-heads"]["value"]


def test_both_methods_are_above_chance(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["dlsp"]["low"] > 0.55
    assert rows["rhi"]["low"] > 0.53


def probed(job: Job, kinds: Sequence[str]) -> np.ndarray:
    """Return the AUC of cross-fitted probes on labelled segments of normal videos and of some kinds, by layer.

    It says what a layer knows, whatever a method would fit on.
    """
    place = job.workspace / FIRST_SET
    truth = read_manifest(FIRST_SET, place / "videos", place / "manifest")
    store = FeatureStore.open(job.workspace / f"features/{FIRST_SET}/segment-24-8/{BACKBONE}/detailed.zarr")
    code = {video.video_id: number for number, video in enumerate(truth.videos)}
    kept, labels, groups = [], [], []
    for row in map(int, np.flatnonzero(store.written)):
        clip = store.clips.clip(row)
        video = truth.by_id[clip.video_id]
        share = truth.truth(video.video_id, video.n_frames)[clip.start_frame : clip.stop_frame].mean()
        if (share <= 0.1 or share > 0.5) and video.category in ("Normal", *kinds):
            kept.append(row)
            labels.append(int(share > 0.5))
            groups.append(code[video.video_id])
    features = store.hidden_states(np.array(kept), LAYERS).swapaxes(0, 1)
    folds = video_folds(np.array(labels), np.array(groups), 5, 0)
    return probe_units(features, np.array(labels), folds, probe="logistic").auc


def test_probes_are_above_chance_on_kinds_that_were_never_named(job: Job) -> None:
    auc = probed(job, UNNAMED_KINDS)  # 299 segments of 80 videos: a deviation of about 0.03
    assert auc.min() > 0.57, auc


def test_a_loose_animal_is_seen_though_it_was_never_named(job: Job) -> None:
    auc = probed(job, ["LooseAnimal"])
    assert auc.min() > 0.75, auc
