"""`vadprobe convert-checkpoint` and `make-demo-backbone` as a user meets it."""

import itertools
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from torch import Tensor

from tests.flows.commands.conftest import Run
from tests.support.models.original_checkpoints import original_config, random_model, write_adapter, write_original
from vadprobe.extract.conversion import weights


@pytest.fixture
def source(tmp_path: Path, tiny_backbones: Mapping[str, Path]) -> Path:
    """A small original checkpoint."""
    model = random_model(original_config("InternLM2ForCausalLM"))
    return write_original(tmp_path / "original", tiny_backbones["internvl"], model)


def test_a_converted_checkpoint_is_summed_up(source: Path, tmp_path: Path, run: Run) -> None:
    code, out, err = run("convert-checkpoint", source, tmp_path / "native")
    assert code == 0
    assert out == f"{tmp_path / 'native'}: 76 tensors (852 kB).\n"
    assert "converting: 100%" in err
    assert (tmp_path / "native" / "conversion.json").is_file()


def test_what_is_refused_is_said_in_a_sentence(source: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "native").mkdir()
    code, out, err = run("convert-checkpoint", source, tmp_path / "native")
    assert (code, out) == (2, "")
    assert err.startswith("vadprobe: ")
    assert err.count("\n") == 1
    code, _, err = run("convert-checkpoint", tmp_path / "nowhere", tmp_path / "other")
    assert code == 2
    assert "is not a folder" in err
    adapter = write_adapter(tmp_path / "adapter", {}, 2, 4.0)
    code, _, err = run("convert-checkpoint", source, tmp_path / "other", "--adapter", adapter)
    assert code == 2
    assert "the adapter holds no tensors" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminated_conversion_leaves_nothing(
    source: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    """The signal arrives in the midst of the weights."""
    split, seen = weights.contiguous, itertools.count(1)

    def interrupted(tensor: Tensor) -> Tensor:
        if next(seen) == 5:
            assert list(tmp_path.glob("native.*.partial/config.json"))
            signal.raise_signal(number)
        return split(tensor)

    monkeypatch.setattr(weights, "contiguous", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    try:
        code, _, err = run("convert-checkpoint", source, tmp_path / "native")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert code == 130, err
    assert "interrupted; nothing was left" in err
    assert [path.name for path in tmp_path.iterdir()] == ["original"]


def small_backbone(out: Path) -> list[str | Path]:
    """Return the arguments that make a backbone in four steps."""
    sizes = {"--shots": 2, "--vision-steps": 2, "--caption-steps": 2, "--workers": 1}
    return ["make-demo-backbone", out, "--work", out.parent / "work", *(str(x) for pair in sizes.items() for x in pair)]


@pytest.mark.slow
def test_a_demo_backbone_is_made_and_then_left_alone(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the tests compare with does not load in a process that has not declared its operators.
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not place.endswith("comparisons")])
    code, out, err = run(*small_backbone(tmp_path / "out"))
    assert code == 0
    assert out.startswith(f"{tmp_path / 'out'}: 4 steps from seed 0; on held-out clips: caption ")
    assert out.endswith("Note: pre-trained on drawings of the same kind; says nothing about any real camera.\n")
    assert "drawing: 100%" in err
    assert "training: 100%" in err
    assert "words_auc" in err
    again = run(*small_backbone(tmp_path / "out"))
    assert again == (0, out, "")
    code, _, err = run(*small_backbone(tmp_path / "out"), "--seed", "1")
    assert code == 2
    assert err.startswith(f"vadprobe: {tmp_path / 'out'} holds a backbone of another recipe: seed must be 1, got 0.")


@pytest.mark.slow
def test_a_training_that_is_interrupted_says_how_to_go_on(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not place.endswith("comparisons")])

    def interrupted(*_: object, **__: object) -> float:
        signal.raise_signal(signal.SIGTERM)
        return 0.0

    with monkeypatch.context() as patch:
        patch.setattr("vadprobe.extract.demo.captioner.training.trainer.Trainer.take_step", interrupted)
        code, _, err = run(*small_backbone(tmp_path / "out"))
    assert code == 130
    assert "the same command continues where it stopped" in err
    assert not (tmp_path / "out").exists()
    assert run(*small_backbone(tmp_path / "out"))[0] == 0
