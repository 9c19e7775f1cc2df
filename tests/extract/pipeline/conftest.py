"""Fixtures of the tests of extractions."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.extractions import make_extractor, run_all
from vadprobe.extract.model.backbone import Description
from vadprobe.extract.pipeline.extraction import Extractor


@pytest.fixture(scope="module")
def internvl(describe_tiny: Callable[..., Description]) -> Description:
    return describe_tiny("internvl")


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory, video_folder: Path, internvl: Description) -> Extractor:
    """Three videos and two prompts, extracted and committed; only to be read."""
    extractor = make_extractor(video_folder, tmp_path_factory.mktemp("root"), internvl)
    run_all(extractor)
    return extractor


@pytest.fixture
def copied_root(tmp_path: Path, extracted: Extractor) -> Path:
    """A root of one's own that holds what was extracted."""
    source = extracted.plan.samplings[0].writers[0].path.parents[3]
    return Path(shutil.copytree(source, tmp_path / "root"))
