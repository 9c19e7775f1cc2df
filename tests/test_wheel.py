"""The wheel holds every module of every package, the files beside them, and nothing else."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
DATA = ("*.json", "*.toml", "*.jinja", "*.md", "py.typed")


def folder_of(package: str) -> str:
    return package.removeprefix("vadprobe.").replace(".", "/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names in a wheel that is built from a copy of the tree, so that no build folder stays in it."""
    folder = tmp_path_factory.mktemp("wheel")
    for file in ("pyproject.toml", "README.md"):
        shutil.copyfile(ROOT / file, folder / file)
    for package in SETTINGS["packages"]:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder_of(package), folder / folder_of(package), ignore=ignore, dirs_exist_ok=True)
    build = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=folder, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_packages_whole_and_nothing_else(wheel):
    wanted = {
        f"vadprobe/{folder_of(package)}/{path.name}"
        for package in SETTINGS["packages"]
        for pattern in ("*.py", *DATA)
        for path in (ROOT / folder_of(package)).glob(pattern)
    }
    assert wheel == wanted


def test_every_folder_of_modules_is_a_listed_package():
    """One that is not listed is missing from the wheel without a word."""
    tops = {folder_of(package).split("/")[0] for package in SETTINGS["packages"]}
    found = {path.parent.relative_to(ROOT).as_posix() for top in tops for path in (ROOT / top).rglob("*.py")}
    assert found <= {folder_of(package) for package in SETTINGS["packages"]}


def test_the_format_of_stores_comes_with_the_wheel(wheel):
    assert "vadprobe/store/FORMAT.md" in wheel
