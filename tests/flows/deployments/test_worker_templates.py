"""The templates of workers start what the deployments need."""

import os
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT
from vadprobe.flows.runs.loading import JOBS_VARIABLE

FOLDER = ROOT / "docs" / "how-to" / "flows"
WORKER = ["worker", "start", "--pool", "gpu", "--type", "process", "--limit", "1"]
POOLS = {each["work_pool"]["name"] for each in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]}


def test_a_container_has_one_worker_of_the_gpu_pool_and_one_gpu() -> None:
    (container,) = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text())["spec"]["template"]["spec"]["containers"]
    assert container["args"] == WORKER
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1}
    assert {each["name"] for each in container["env"]} == {"PREFECT_API_URL", JOBS_VARIABLE}
    services: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    for name in ("gpu0", "gpu1"):
        (device,) = services[name]["deploy"]["resources"]["reservations"]["devices"]
        assert services[name]["command"] == WORKER
        assert device["device_ids"] == [name.removeprefix("gpu")]
    assert services["cpu"]["command"][3] in POOLS


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_slurm_script_starts_as_many_workers_as_the_run_wants() -> None:
    path = FOLDER / "workers.sbatch"
    stand_ins = """
        srun() { echo "srun $*" >&2; exec sleep 60; }
        prefect() { echo "prefect $*" >&2; sleep 0.2; }
        export -f srun prefect
        bash "$1"
    """
    given = {"SLURM_NTASKS": "3", "JOB": "/jobs/a.toml", "PREFECT_API_URL": "http://server"}
    done = subprocess.run(
        ["bash", "-c", stand_ins, "bash", str(path)],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(rf"srun --ntasks=3 --gpus-per-task=1 prefect {' '.join(WORKER)}\n", done.stderr)
    assert "deployment run extract-features/extract-features --watch -p config=/jobs/a.toml -p workers=3" in done.stderr
