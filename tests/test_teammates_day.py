"""A teammate without torch pulls what a detector needs of the test videos, and gets the numbers of the full store."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from planted import Planted, write_planted
from remote_servers import BUCKET, Faults, s3_server

pytest.importorskip("obstore", reason="the package for URLs is not installed")
pytest.importorskip("moto", reason="the S3 server of the tests is not installed")

from vadprobe.flows.analysis_job import analyze
from vadprobe.flows.job import load_job

WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "decord"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from vadprobe.flows.command_line import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def environment():
    with s3_server(Faults()) as endpoint:
        credentials = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
        yield {**os.environ, **credentials, "AWS_ENDPOINT_URL": endpoint}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    planted = write_planted(tmp_path_factory.mktemp("planted"), failed_row=5)
    analyze(load_job(planted.job("headhunt")))
    return planted


def vadprobe(environment: dict[str, str], *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def finished(planted: Planted, name: str, root: str) -> Path:
    """A job that scores with the detector that is there, from another root."""
    text = planted.job("headhunt").read_text()
    text = text.replace("top_heads = 1", 'detector = "out-headhunt/detector.json"')
    text = text.replace('root = "features"', f'root = "{root}"').replace('out = "out-headhunt"', f'out = "out-{name}"')
    path = planted.folder / f"{name}.toml"
    path.write_text(text)
    return path


def numbers(planted: Planted, name: str) -> dict[str, object]:
    (entry,) = json.loads((planted.folder / f"out-{name}" / "results.json").read_text())["results"]
    return entry


@pytest.mark.slow
def test_the_numbers_of_a_part_are_those_of_the_whole(planted, environment, tmp_path):
    bucket = f"s3://{BUCKET}/team"
    detector = planted.folder / "out-headhunt" / "detector.json"
    assert "partitions copied" in vadprobe(environment, "push", planted.folder / "features", bucket)
    listing = vadprobe(environment, "ls", bucket)
    assert listing.count("committed") >= 6
    assert "planted" in listing
    vadprobe(environment, "verify", bucket)
    vadprobe(environment, "analyze", finished(planted, "whole", "features"))
    pulled = tmp_path / "pulled"
    out = vadprobe(environment, "pull", bucket, pulled, "--detector", detector, "--splits", "test")
    assert "It holds no layers and head 1:3" in out
    assert vadprobe(environment, "pull", bucket, pulled, "--detector", detector, "--splits", "test").count(" 0 of") == 1
    vadprobe(environment, "verify", pulled)
    vadprobe(environment, "analyze", finished(planted, "part", str(pulled)))
    vadprobe(environment, "analyze", finished(planted, "remote", bucket))
    whole, part, remote = (numbers(planted, name) for name in ("whole", "part", "remote"))
    assert whole["auc"] > 0.9
    assert part == whole
    assert remote == whole
    size = sum(path.stat().st_size for path in pulled.rglob("c/**/*") if path.is_file())
    assert size < 0.25 * sum(
        path.stat().st_size for path in planted.folder.glob("features/**/c/**/*") if path.is_file()
    )
