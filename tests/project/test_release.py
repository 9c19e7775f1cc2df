"""The files that git holds build an sdist, the sdist a wheel, and the wheel alone works away from the checkout."""

import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.project.release import ROOT, attempt, build, install


def test_the_citation_and_the_package_have_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip("not a git checkout")
    return build("HEAD", tmp_path_factory.mktemp("dist"))


@pytest.mark.slow
def test_the_sdist_holds_the_sources_and_the_papers_of_the_project(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "CHANGELOG.md", "CITATION.cff", "SECURITY.md"} <= names
    assert "src/vadprobe/store/format/FORMAT.md" in names


@pytest.mark.slow
def test_the_wheel_works_from_an_environment_of_its_own(built: tuple[Path, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(built[1]) as archive:
        assert any(name.startswith("vadprobe/configs/papers/") for name in archive.namelist())
    program = install(built[1], tmp_path / "environment")
    version, job, tables, figures, help_text = attempt(program, tmp_path / "empty")
    assert version.strip() == built[1].name.split("-")[1]
    assert "[backbone]" in job
    assert "headhunt-3" in tables
    assert "hiprobe-2" in figures
    assert "--look-ahead" in help_text
