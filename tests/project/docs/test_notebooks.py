"""Both notebooks run as programs, from the first cell to the last, and say what their pages say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.docs.pages import DOCS
from tests.support.paths import ROOT


def run(name: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(DOCS / "notebooks" / f"{name}.py")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_inside_a_store(tmp_path: Path) -> None:
    printed = run("inside_a_store", tmp_path).splitlines()
    assert "exit code 0" in printed
    assert any(line.startswith("DLSP takes layer ") for line in printed)
    assert sum(line.startswith("  layer ") for line in printed) == 6
    assert any(line.startswith("AUC 0.") for line in printed)


@pytest.mark.slow
def test_what_a_score_claims(tmp_path: Path) -> None:
    printed = run("what_a_score_claims", tmp_path).splitlines()
    (row,) = [line for line in printed if line.startswith("which video   ")]
    auc, macro = float(row.split()[2]), float(row.split("]")[1].split()[0])
    assert auc > 0.7
    assert macro == 0.5
    assert any(line.startswith("which video: The macro AUC (0.5000) does not beat") for line in printed)
