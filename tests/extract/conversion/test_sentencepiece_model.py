"""Tokenizers made of SentencePiece models give the tokens of the sentencepiece library (see tests/data/)."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import GOLDEN

pytest.importorskip("google.protobuf", reason="SentencePiece models are read with protobuf (extra 'convert')")

from tokenizers import AddedToken

from vadprobe.extract.conversion.sentencepiece_model import fast_tokenizer, read_model
from vadprobe.extract.conversion.tokenizer import write_tokenizer
from vadprobe.store.errors import VadprobeError

EXPECTED: dict[str, Any] = json.loads((GOLDEN / "sentencepiece_tokens.json").read_text(encoding="utf-8"))


def read(name: str = "plain") -> Any:
    return read_model(GOLDEN / f"sentencepiece_{name}.model")


def added(name: str = "plain") -> dict[int, AddedToken]:
    tokens = EXPECTED[name]["added"].items()
    return {int(number): AddedToken(text, normalized=False, special=True) for number, text in tokens}


@pytest.mark.parametrize("name", ["plain", "prefixed", "squeezed"])
def test_tokens_are_those_of_the_sentencepiece_library(name: str) -> None:
    tokenizer = fast_tokenizer(read(name), added(name))
    assert len(EXPECTED[name]["cases"]) > 100
    for case in EXPECTED[name]["cases"]:
        assert [1, *tokenizer.encode(case["text"]).ids] == case["ids"], case["text"]


@pytest.mark.parametrize("name", ["plain", "prefixed"])
@pytest.mark.parametrize("text", ["", "Is there  something abnormal? ", "异常 🚗 déjà vu\n\tx"])
def test_tokens_are_turned_back_into_the_text(name: str, text: str) -> None:
    tokenizer = fast_tokenizer(read(name), added(name))
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model.trainer_spec, "model_type", 1),
        lambda model: setattr(model.trainer_spec, "treat_whitespace_as_suffix", True),
        lambda model: setattr(model.normalizer_spec, "precompiled_charsmap", b"x"),
        lambda model: setattr(model.normalizer_spec, "escape_whitespaces", False),
        lambda model: setattr(model.pieces[300], "type", 5),
    ],
)
def test_a_model_of_another_kind_is_refused(change: Callable[[Any], None]) -> None:
    model = read()
    change(model)
    with pytest.raises(VadprobeError, match=r"not of the plain byte-pair kind.*--tokenizer"):
        fast_tokenizer(model, added())


def test_added_tokens_that_leave_a_hole_are_refused() -> None:
    tokens = added()
    del tokens[max(tokens) - 1]
    with pytest.raises(VadprobeError, match=r"would get the id \d+ instead of \d+"):
        fast_tokenizer(read(), tokens)


def test_two_tokens_of_the_same_text_are_refused() -> None:
    model = read()
    model.pieces.add(piece="Yes", score=-1.0)
    model.pieces.add(piece="Yes", score=-2.0)
    with pytest.raises(VadprobeError, match="two tokens the same text"):
        fast_tokenizer(model, {})


@pytest.mark.parametrize("size", [0, 1, 7, 100, 3000, -1])
def test_a_damaged_file_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes((GOLDEN / "sentencepiece_plain.model").read_bytes()[:size])
    with pytest.raises(VadprobeError, match=r"cannot be read as a SentencePiece model|holds no tokens"):
        read_model(path)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(b"<html>not found</html>\n" * 40)
    with pytest.raises(VadprobeError, match="cannot be read as a SentencePiece model"):
        read_model(path)


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"not opened")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "InternLM2Tokenizer"}))
    monkeypatch.delitem(sys.modules, "vadprobe.extract.conversion.sentencepiece_model")
    monkeypatch.setitem(sys.modules, "google.protobuf.message", None)
    with pytest.raises(VadprobeError, match=r"'protobuf', which is not installed; .* 'vadprobe\[convert\]'"):
        write_tokenizer(tmp_path, tmp_path, {}, None, system_turn=False)
