"""A teammate without torch pulls what a detector needs of the test videos, and gets the numbers of the full store."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import profiles
from tests.support.planted import Planted, blank_pictures, write_planted
from tests.support.processes.remote_servers import Faults, bucket_at_hand

pytest.importorskip("obstore", reason="the package for URLs is not installed")
pytest.importorskip("moto", reason="the S3 server of the tests is not installed")

from vadprobe.flows.jobs.analyze_job import analyze
from vadprobe.flows.jobs.job import load_job

# Runs commands, each a list of words in a line, and prints the exit code and the output of each as a line of JSON.
WITHOUT_TORCH = """
import contextlib, io, json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "decord"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from vadprobe.analyze.figures import style
from vadprobe.flows.command_line import main
if sys.argv[1:] == ["no pictures"]:
    style.png = lambda *given, **named: b""
for line in sys.stdin:
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        code = main(json.loads(line))
    print(json.dumps([code, said.getvalue(), complained.getvalue()]), flush=True)
"""


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder of a bucket."""
    with bucket_at_hand(Faults()) as url:
        yield f"{url}/team"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    planted = write_planted(tmp_path_factory.mktemp("planted"), failed_row=5)
    if not profiles.LONG:  # every file of a store is some requests
        for store in planted.folder.glob("features/planted/*/tiny/detailed.*"):
            shutil.rmtree(store)
        for job in planted.folder.glob("*.toml"):
            job.write_text(job.read_text().replace('"detailed", ', ""))
    with blank_pictures():
        analyze(load_job(planted.job("headhunt")))
    return planted


@pytest.fixture
def vadprobe(bucket: str) -> Iterator[Callable[..., str]]:
    """Run a command without torch and give what it printed.

    One process runs all commands, in the long profile one each.
    """
    command = [sys.executable, "-c", WITHOUT_TORCH, *([] if profiles.LONG else ["no pictures"])]

    with ExitStack() as stack:

        def start() -> subprocess.Popen[str]:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            assert process.stdin is not None
            stack.callback(process.stdin.close)  # which ends it
            return process

        one = start()

        def run(*arguments: object) -> str:
            process = start() if profiles.LONG else one
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")
            process.stdin.flush()
            code, said, complained = json.loads(process.stdout.readline())
            assert code == 0, complained
            return str(said)

        yield run


def finished(planted: Planted, name: str, root: str) -> Path:
    """A job that scores with the detector that is there, from another root."""
    text = planted.job("headhunt").read_text()
    text = text.replace("top_heads = 1", 'detector = "out-headhunt/detector.json"')
    text = text.replace('root = "features"', f'root = "{root}"').replace('out = "out-headhunt"', f'out = "out-{name}"')
    path = planted.folder / f"{name}.toml"
    path.write_text(text)
    shutil.rmtree(planted.folder / "steps", ignore_errors=True)  # what another root gave is not taken
    return path


def numbers(planted: Planted, name: str) -> dict[str, object]:
    (entry,) = json.loads((planted.folder / f"out-{name}" / "results.json").read_text())["results"]
    return entry


def test_the_numbers_of_a_part_are_those_of_the_whole(planted, bucket, vadprobe, tmp_path):
    detector = planted.folder / "out-headhunt" / "detector.json"
    assert "partitions copied" in vadprobe("push", planted.folder / "features", bucket)
    listing = vadprobe("ls", bucket)
    assert listing.count("committed") >= (6 if profiles.LONG else 4)
    assert "planted" in listing
    vadprobe("verify", bucket)
    vadprobe("analyze", finished(planted, "whole", "features"))
    pulled = tmp_path / "pulled"
    out = vadprobe("pull", bucket, pulled, "--detector", detector, "--splits", "test")
    assert "It holds head 1:3 and no layers" in out
    assert vadprobe("pull", bucket, pulled, "--detector", detector, "--splits", "test").count(" 0 of") == 1
    vadprobe("verify", pulled)
    vadprobe("analyze", finished(planted, "part", str(pulled)))
    vadprobe("analyze", finished(planted, "remote", bucket))
    whole, part, remote = (numbers(planted, name) for name in ("whole", "part", "remote"))
    assert whole["auc"] > 0.9
    assert remote == whole
    answers = [one.pop("text_output") for one in (whole, part)]  # the part holds one prompt alone
    assert part == whole
    ((wanted, found),) = [pair for pair in zip(*answers, strict=True) if None not in pair[1]["rows"].values()]
    assert found == wanted
    size = sum(path.stat().st_size for path in pulled.rglob("c/**/*") if path.is_file())
    assert size < 0.25 * sum(
        path.stat().st_size for path in planted.folder.glob("features/**/c/**/*") if path.is_file()
    )
