"""Pull step of a deployment that runs the code of a checkout by git, in place of the installed package."""

import importlib
import os
import sys
from pathlib import Path

from vadprobe.store.errors import VadprobeError


def use(directory: str) -> dict[str, str]:
    """Let this process and its child processes import vadprobe from a checkout.

    The packages that vadprobe needs are those of the worker's environment.

    Args:
        directory: folder of the checkout, as the step `git_clone` gives it.

    Returns:
        The directory, for the next steps.

    Raises:
        VadprobeError: if the folder does not hold vadprobe.
    """
    source = Path(directory).resolve() / "src"
    if not (source / "vadprobe").is_dir():
        raise VadprobeError(f"{directory} must be a checkout of vadprobe, but has no folder src/vadprobe.")
    sys.path.insert(0, str(source))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")]))
    for name in [name for name in sys.modules if name == "vadprobe" or name.startswith("vadprobe.")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    return {"directory": directory}
