"""``vadprobe convert-checkpoint`` as a user meets it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from original_checkpoints import original_config, random_model, write_adapter, write_original

from vadprobe.flows.command_line import main


@pytest.fixture
def source(tmp_path: Path, tiny_backbones: Mapping[str, Path]) -> Path:
    """A small original checkpoint."""
    model = random_model(original_config("InternLM2ForCausalLM"))
    return write_original(tmp_path / "original", tiny_backbones["internvl"], model)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["convert-checkpoint", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_converted_checkpoint_is_summed_up(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, source, tmp_path / "native")
    assert code == 0
    assert out == f"{tmp_path / 'native'}: 76 tensors (0.00 GB).\n"
    assert "converting: 100%" in err
    assert (tmp_path / "native" / "conversion.json").is_file()


def test_what_is_refused_is_said_in_a_sentence(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "native").mkdir()
    code, out, err = run(capsys, source, tmp_path / "native")
    assert (code, out) == (2, "")
    assert err.startswith("vadprobe: ")
    assert err.count("\n") == 1
    code, _, err = run(capsys, tmp_path / "nowhere", tmp_path / "other")
    assert code == 2
    assert "is not a folder" in err
    adapter = write_adapter(tmp_path / "adapter", {}, 2, 4.0)
    code, _, err = run(capsys, source, tmp_path / "other", "--adapter", adapter)
    assert code == 2
    assert "the adapter holds no tensors" in err


def test_a_terminated_conversion_leaves_nothing(source: Path, tmp_path: Path) -> None:
    """The signal arrives in the midst of the weights, which a slow reader stretches."""
    program = (
        "import sys, time\n"
        "from vadprobe.extract import internvl_weights\n"
        "split = internvl_weights.contiguous\n"
        "internvl_weights.contiguous = lambda tensor: (time.sleep(0.5), split(tensor))[1]\n"
        "from vadprobe.flows.command_line import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "convert-checkpoint", str(source), str(tmp_path / "native")],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("native.*.partial/config.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "interrupted; nothing was left" in err
    assert [path.name for path in tmp_path.iterdir()] == ["original"]
