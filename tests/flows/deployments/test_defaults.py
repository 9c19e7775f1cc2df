"""A flow that is called from Python has Prefect's telemetry off and time to start, in any folder."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.support.paths import ROOT
from vadprobe.flows.deployments.defaults import SETTINGS


def test_settings_are_there_before_prefect_is_imported(tmp_path: Path) -> None:
    program = (
        "import vadprobe.flows.verify_store, prefect.settings\n"
        "server = prefect.settings.get_current_settings().server\n"
        "print(server.analytics_enabled, server.ephemeral.startup_timeout_seconds)"
    )
    environment = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    paths = {"PYTHONPATH": str(ROOT / "src"), "PREFECT_HOME": str(tmp_path / "prefect")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | paths,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "120"]


def test_every_flow_imports_them_first() -> None:
    for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]:
        found = importlib.util.find_spec(one["entrypoint"].rpartition(".")[0])
        assert found is not None
        tree = ast.parse(Path(str(found.origin)).read_text())
        first = next(line for line in tree.body if isinstance(line, ast.Import | ast.ImportFrom))
        assert ast.unparse(first) == "import vadprobe.flows.deployments.defaults"
