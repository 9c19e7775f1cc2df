"""Original checkpoints of every architecture."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedConfig

from tests.support.models.conversions import Make
from tests.support.models.original_checkpoints import original_config, random_model, write_original


@pytest.fixture(scope="module", autouse=True)
def _configurations_in_few_words() -> Iterator[None]:
    """Every load writes its configurations out for a log that nobody reads, which takes a third of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreTrainedConfig, "__repr__", object.__repr__)
        yield


@pytest.fixture
def make(tmp_path: Path, tiny_backbones: Mapping[str, Path]) -> Make:
    """Write an original checkpoint of an architecture; the arguments change its configuration."""

    def one(architecture: str = "InternLM2ForCausalLM", n_files: int = 1, **changes: Any) -> tuple[Path, Any]:
        model = random_model(original_config(architecture, **changes))
        return write_original(tmp_path / "original", tiny_backbones["internvl"], model, n_files), model

    return one
