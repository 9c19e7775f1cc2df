"""A torchvision that does not fit the torch beside it is said in one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from vadprobe.extract.families.library import missing_package, unfitting_torchvision


def test_other_failed_imports_are_not_explained() -> None:
    assert unfitting_torchvision(ModuleNotFoundError("No module named 'transformers'")) is None


def test_the_missing_package_is_what_the_library_names() -> None:
    assert "Install torchvision, in the version" in str(missing_package("qwen2_vl", ImportError("needs Torchvision")))
    assert "Install what it names" in str(missing_package("kosmos", ImportError("it requires the natten library")))


@pytest.mark.slow
def test_a_torchvision_that_does_not_fit_is_said_in_a_sentence(tmp_path: Path) -> None:
    """The package and its metadata as pip leaves them, with the error of operators built for another torch."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    (tmp_path / "torchvision-9.9.dist-info").mkdir()
    (tmp_path / "torchvision-9.9.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 9.9\n"
    )
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from vadprobe.store.errors import VadprobeError\n"
        "try:\n"
        "    import vadprobe.extract.model.backbone\n"
        "except VadprobeError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.startswith("torch ")
    assert "and torchvision 9.9 do not fit together (operator torchvision::nms does not exist); install" in done.stdout
