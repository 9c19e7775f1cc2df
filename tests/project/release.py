"""Build sdist and wheel from a commit or tag, install the wheel into an empty environment and try it: `make release`.

The sdist is built from what git holds, the wheel from the sdist, so that neither has a file that lies about here.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRIED = (
    ("--version",),
    ("show-job", "papers/headhunt", "papers/ucf-crime", "papers/internvl3-8b"),
    ("table", "--list"),
    ("figure", "--list"),
    ("detect", "--help"),
)
"""Commands that read what is packed beside the modules, and need no data."""


def build(commit: str, out: Path) -> tuple[Path, Path]:
    """Build a commit in folders of its own, and return the paths of sdist and wheel in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="release-") as place:
        tree, unpacked = Path(place, "tree"), Path(place, "sdist")
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(tree, filter="tar")
        sdist = _backend(tree, "build_sdist", out)
        with tarfile.open(sdist) as tar:
            tar.extractall(unpacked, filter="data")
        (source,) = unpacked.iterdir()
        return sdist, _backend(source, "build_wheel", out)


def _backend(folder: Path, function: str, out: Path) -> Path:
    """Let setuptools build in a folder; return the file it made."""
    code = f"import sys; from setuptools.build_meta import {function}; print(); print({function}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=folder, check=True, capture_output=True, text=True
    )
    return out / done.stdout.splitlines()[-1]


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel alone into a new environment and return its `vadprobe`; dependencies are those of this one."""
    venv.create(folder, with_pip=False, clear=True)
    python = folder / "bin" / "python"
    paths = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    here = sysconfig.get_path("purelib")
    Path(paths.stdout.strip(), "dependencies.pth").write_text(f"{here}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True, cwd=folder)
    return folder / "bin" / "vadprobe"


def attempt(program: Path, folder: Path) -> list[str]:
    """Run `TRIED` in an empty folder, away from the checkout, and return what each command printed.

    Raises:
        subprocess.CalledProcessError: if one of them fails.
    """
    folder.mkdir(exist_ok=True)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = []
    for words in TRIED:
        done = subprocess.run([program, *words], cwd=folder, env=clean, check=True, capture_output=True, text=True)
        found.append(done.stdout)
    return found


def main() -> None:
    """Build the tag that is named into `dist/`, or the one of the current commit, and try the wheel."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--tag", help="by default the tag of the current commit")
    tag = parser.parse_args().tag
    if tag is None:
        found = subprocess.run(
            ["git", "describe", "--exact-match", "--tags"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if found.returncode:
            sys.exit("the current commit has no tag; make one with: git tag v0.1.0")
        tag = found.stdout.strip()
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    sdist, wheel = build(tag, ROOT / "dist")
    if f"-{tag.removeprefix('v')}-" not in wheel.name:
        sys.exit(f"the tag is {tag}, but pyproject.toml builds {wheel.name}; they must agree")
    with tempfile.TemporaryDirectory(prefix="release-") as place:
        version = attempt(install(wheel, Path(place, "environment")), Path(place, "empty"))[0].strip()
    sys.stdout.write(f"{sdist.name}, {wheel.name}: installed and tried as {version}\n")


if __name__ == "__main__":
    main()
