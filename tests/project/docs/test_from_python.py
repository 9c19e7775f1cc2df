"""The page about Python: its blocks run, one after another, and do what it says."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.support.extractions import SEGMENTS, make_extractor, run_all, store_of
from tests.support.paths import ROOT
from tests.support.planted import HEAD, LAYER, write_planted
from vadprobe.analyze import evaluate, select
from vadprobe.analyze.detector.detector import Detector
from vadprobe.analyze.features.selected import read_selected
from vadprobe.analyze.locator.locator import Locator
from vadprobe.analyze.probes.kinds.linear import LogisticProbe
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store import VadprobeError, open_store
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.video import Video
from vadprobe.store.format.prompts import SHIPPED

PAGE = ROOT / "docs" / "how-to" / "measure" / "from-python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def folder(tmp_path, write_video, describe_tiny, tiny_backbones, monkeypatch) -> Path:
    """The current folder: planted stores, a video, and a detector that finds events in it."""
    write_planted(tmp_path)
    (tmp_path / "own").mkdir()
    write_video(tmp_path / "own" / "video.mp4", 40)
    description = describe_tiny("qwen2_5_vl")
    extractor = make_extractor(tmp_path / "own", tmp_path / "cache", description, [SHIPPED["coarse"]], [SEGMENTS])
    run_all(extractor)
    store, selection = store_of(extractor), Selection("head", "chosen", ((0, 1),))
    features = read_selected(store, selection, np.arange(len(store.clips)))
    probe = LogisticProbe(features.mean(axis=0), features.std(axis=0) + 1e-3, np.ones(features.shape[1]), 0.0)
    locator = Locator(0.5, float(np.median(probe.score(features))))
    packed: Mapping[str, object] = {"path": str(tiny_backbones["qwen2_5_vl"]), "frame_size": [56, 84]}
    detector = Detector("tiny", selection, probe, locator, store.spec, {"dataset": "set"}, {"backbone": dict(packed)})
    detector.write(tmp_path / "detector.json")
    (tmp_path / "own" / "video.mp4").rename(tmp_path / "video.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(block, names)
    printed = capsys.readouterr().out.splitlines()
    assert sum("peak" in line for line in printed) >= 1
    assert sum(line.endswith((" anomalous", " normal")) for line in printed) == 5
    assert f"({HEAD}" in printed[-2].replace("((", "(") or str(HEAD) in printed[-2]
    assert f"(({LAYER},),)" in printed[-2]


def test_wrong_input_is_a_sentence(folder: Path) -> None:
    store = open_store(folder / "features" / "planted" / "video-8" / "tiny" / "coarse.zarr")
    rows, labels = np.arange(4), np.array([0, 1, 0, 1])
    with pytest.raises(VadprobeError, match="must be 'hiprobe' or 'headhunt'"):
        select(store, rows, labels, method="both")
    with pytest.raises(VadprobeError, match="got 2 stores"):
        select({"a": store, "b": store}, rows, labels, method="hiprobe")
    truth = Dataset("one", folder, (Video("a", "a.mp4", 10, label=0),))
    with pytest.raises(VadprobeError, match="'b' is not in the dataset"):
        evaluate(truth, {"b": np.zeros(10)})
    with pytest.raises(VadprobeError, match="each of its 10 frames, got the shape"):
        evaluate(truth, {"a": np.zeros(9)})
