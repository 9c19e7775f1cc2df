"""The clips most like one are those of the greatest cosine, by NumPy."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.planted import write_planted
from vadprobe.flows.command_line import main
from vadprobe.store.errors import VadprobeError
from vadprobe.store.reading.feature_store import FeatureStore
from vadprobe.store.reading.similar_clips import row_of_clip, similar_clips


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("planted")
    write_planted(folder, failed_row=3)
    paths = sorted(folder.rglob("coarse.zarr"))
    return max((FeatureStore.open(path) for path in paths), key=lambda one: len(one.clips))


@pytest.mark.parametrize("other_videos", [False, True])
@pytest.mark.parametrize("choice", [{"layer": 2}, {"heads": [(1, 3), (0, 1)]}])
def test_they_have_the_greatest_cosines(store: FeatureStore, choice: dict, other_videos: bool) -> None:
    rows = np.flatnonzero(store.written)
    layer = choice.get("layer")
    values = store.hidden_states(rows, [layer]) if layer else store.head_outputs(rows, choice["heads"])
    features = values.reshape(len(rows), -1).astype(np.float64)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    cosines = features @ features[rows == 10][0]
    codes = store.clips.video_codes[rows]
    left_out = codes == store.clips.video_codes[10] if other_videos else rows == 10
    cosines[left_out] = -np.inf
    order = np.argsort(-cosines, kind="stable")[:7]
    found = similar_clips(store, 10, 7, other_videos=other_videos, **choice)
    assert [one.row for one in found] == rows[order].tolist()
    np.testing.assert_allclose([one.cosine for one in found], cosines[order])


def test_a_clip_is_named_by_its_video_and_frame(store: FeatureStore) -> None:
    table = store.clips
    first = int(table.rows_of(["video04"])[0])
    assert row_of_clip(table, "video04") == row_of_clip(table, "video04@0") == first
    assert row_of_clip(table, "video04@24") == first + 1
    assert row_of_clip(table, "12") == 12
    for name, words in (("nowhere", "VIDEO@FRAME, got 'nowhere'"), ("video04@9999", "frame must be from 0 to 427")):
        with pytest.raises(VadprobeError, match=words):
            row_of_clip(table, name)
    with pytest.raises(VadprobeError, match="row 3 has no features: decord cannot"):
        similar_clips(store, 3, 5, layer=1)
    with pytest.raises(VadprobeError, match="either a layer or heads"):
        similar_clips(store, 4, 5)


def test_the_command_lists_them(store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["similar", "video04@24", "--store", str(Path(str(store.path))), "--layer", "2", "--count", "3"]
    assert main(words) == 0
    asked, *lines = capsys.readouterr().out.strip().splitlines()
    row = row_of_clip(store.clips, "video04@24")
    assert asked.startswith("Most like video04 frames 24-")
    assert f"(row {row})" in asked
    expected = [one.row for one in similar_clips(store, row, 3, layer=2)]
    assert [int(line.rpartition("row ")[2].rstrip(")")) for line in lines] == expected
