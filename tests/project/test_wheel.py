"""The wheel holds every module of every package, the files beside them, and nothing else."""

import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.support.paths import ROOT

FOLDERS = sorted(link.name for link in (ROOT / "src" / "vadprobe").iterdir() if not link.name.startswith("__"))
PATTERNS = ("*.py", "*.json", "*.toml", "*.jinja", "*.css", "*.js", "*.md", "*.safetensors", "py.typed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names in a wheel that is built from a copy of the tree, so that no build folder stays in it."""
    folder = tmp_path_factory.mktemp("wheel")
    for file in ("pyproject.toml", "README.md"):
        shutil.copyfile(ROOT / file, folder / file)
    shutil.copytree(ROOT / "src", folder / "src", symlinks=True)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=folder, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_every_package_is_linked_into_the_source_folder():
    assert FOLDERS == ["analyze", "configs", "detect", "extract", "flows", "store"]


def test_the_wheel_holds_the_packages_whole_and_nothing_else(wheel):
    expected = {
        f"vadprobe/{path.relative_to(ROOT).as_posix()}"
        for name in FOLDERS
        for pattern in PATTERNS
        for path in (ROOT / name).rglob(pattern)
    }
    assert wheel == expected
    assert "vadprobe/store/format/FORMAT.md" in wheel
