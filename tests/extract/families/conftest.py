"""Checkpoints of families with and without inputs of their own."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from tests.support.models import other_backbones
from tests.support.models.described import loaded, without_weights
from tests.support.oracles.processor_passes import KINDS, Checkpoints
from vadprobe.extract.model.backbone import Backbone


@pytest.fixture
def checkpoint(tiny_backbones: Mapping[str, Path], tmp_path: Path) -> Path:
    """A copy of a checkpoint without its weights, to be changed."""
    return without_weights(tiny_backbones["internvl"], tmp_path / "checkpoint")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("others")
    return {kind: other_backbones.make(folder / kind, kind) for kind in other_backbones.BUILDERS}


@pytest.fixture(scope="package", params=KINDS)
def other(request: pytest.FixtureRequest, checkpoints: Checkpoints) -> Backbone:
    """A loaded tiny model of each family, in float32."""
    return loaded(checkpoints[request.param])
