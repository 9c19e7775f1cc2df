"""A run of a checkout by git imports vadprobe from there, and so do the processes that it starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from vadprobe.flows.deployments.checkout import use
from vadprobe.store.errors import VadprobeError

PROGRAM = """
import subprocess, sys
import vadprobe.store.errors
from vadprobe.flows.deployments.checkout import use
print(use(sys.argv[1])["directory"])
import vadprobe.flows.marked
print(vadprobe.flows.marked.PLACE)
subprocess.run([sys.executable, "-c", "import vadprobe.flows.marked; print(vadprobe.flows.marked.PLACE)"], check=True)
"""


def test_what_is_imported_behind_the_step_is_the_checkouts(tmp_path: Path) -> None:
    package = tmp_path / "clone" / "src" / "vadprobe" / "flows"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "marked.py").write_text("PLACE = __file__\n")
    done = subprocess.run(
        [sys.executable, "-u", "-c", PROGRAM, str(tmp_path / "clone")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(tmp_path / "clone"), *[str(package / "marked.py")] * 2]


def test_a_clone_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VadprobeError, match=r"has no folder src/vadprobe"):
        use(str(tmp_path))
