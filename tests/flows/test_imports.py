"""A worker, a deployer and a cancelled run import the flows without the stages, and commands go without Prefect."""

import subprocess
import sys

import pytest

_FLOWS = "extract_features analyze_features verify_store render_report procedures.evaluate_scores"
_FLOWS += " procedures.measure_tables procedures.detect_anomalies procedures.run_experiment"


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [(_FLOWS, "torch transformers decord scipy sklearn dask"), ("command_line commands.stages jobs.job", "prefect")],
)
def test_modules_do_not_import_what_they_may_not_need(modules: str, unwanted: str) -> None:
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}.split(): importlib.import_module('vadprobe.flows.' + name)\n"
        f"print(*[name for name in {unwanted!r}.split() if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_process_that_prefect_starts_does_not_call_the_plugin_again() -> None:
    inside = "import asyncio\nasync def main():\n    import prefect\nasyncio.run(main())"
    program = f"import subprocess, sys, prefect\nsubprocess.run([sys.executable, '-c', {inside!r}], check=True)"
    environment = {"PREFECT_PLUGINS_ENABLED": "true", "PREFECT_PLUGINS_ALLOW": "vadprobe", "DO_NOT_TRACK": "1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Failed to initialize plugins" not in done.stdout + done.stderr
