"""A store as a dataset of PyTorch: every clip once, with its features, in any number of workers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.support.planted import write_planted
from vadprobe.extract.torch_dataset import ClipFeatures
from vadprobe.store.errors import VadprobeError
from vadprobe.store.reading.feature_store import FeatureStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    write_planted(folder, failed_row=3)
    return next(path for path in folder.rglob("coarse.zarr") if "video" not in path.parts[-3])


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_batches_are_what_the_store_holds(store: Path, workers: int) -> None:
    dataset = ClipFeatures(store, layers=[1, 2])
    opened = FeatureStore.open(store)
    assert len(dataset) == len(opened.clips) - 1
    loader = DataLoader(
        dataset, batch_size=50, num_workers=workers, multiprocessing_context="spawn" if workers else None
    )
    batches = list(loader)
    rows = torch.cat([batch["row"] for batch in batches]).numpy()
    assert rows.tolist() == [row for row in range(len(opened.clips)) if row != 3]
    features = torch.cat([batch["features"] for batch in batches]).numpy()
    assert np.array_equal(features, opened.hidden_states(rows, [1, 2]))


def test_heads_of_some_rows(store: Path) -> None:
    dataset = ClipFeatures(store, heads=[(1, 3), (0, 0)], rows=[7, 5])
    assert np.array_equal(
        dataset[1]["features"].numpy(), FeatureStore.open(store).head_outputs(np.array([5]), [(1, 3), (0, 0)])[0]
    )
    assert int(dataset[0]["row"]) == 7


def test_what_is_not_there_is_a_sentence(store: Path) -> None:
    with pytest.raises(VadprobeError, match="either layers or heads, got none"):
        ClipFeatures(store)
    with pytest.raises(VadprobeError, match=r"could be read, got \[3\]"):
        ClipFeatures(store, layers=[1], rows=[2, 3])
