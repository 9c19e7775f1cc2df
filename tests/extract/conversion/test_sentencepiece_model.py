"""SentencePiece models read without sentencepiece: the tokens are those of its own library (see tests/data/)."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import GOLDEN

pytest.importorskip("tokenizers")

from tokenizers import AddedToken

from vadprobe.extract.conversion.sentencepiece_model import Piece, SentencePieceModel
from vadprobe.store.errors import VadprobeError

EXPECTED: dict[str, Any] = json.loads((GOLDEN / "sentencepiece_tokens.json").read_text(encoding="utf-8"))


def read(name: str = "plain") -> SentencePieceModel:
    return SentencePieceModel.read(GOLDEN / f"sentencepiece_{name}.model")


def added(name: str = "plain") -> dict[int, AddedToken]:
    tokens = EXPECTED[name]["added"].items()
    return {int(number): AddedToken(text, normalized=False, special=True) for number, text in tokens}


@pytest.mark.parametrize("name", ["plain", "prefixed", "squeezed"])
def test_tokens_are_those_of_the_sentencepiece_library(name: str) -> None:
    tokenizer = read(name).tokenizer(added(name))
    assert len(EXPECTED[name]["cases"]) > 100
    for case in EXPECTED[name]["cases"]:
        assert [1, *tokenizer.encode(case["text"]).ids] == case["ids"], case["text"]


@pytest.mark.parametrize("name", ["plain", "prefixed"])
@pytest.mark.parametrize("text", ["", "Is there  something abnormal? ", "异常 🚗 déjà vu\n\tx"])
def test_tokens_are_turned_back_into_the_text(name: str, text: str) -> None:
    tokenizer = read(name).tokenizer(added(name))
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_normalisation_of_the_model_is_read() -> None:
    assert not read("plain").dummy_prefix
    assert read("prefixed").dummy_prefix
    assert not read("prefixed").squeeze_spaces
    assert read("squeezed").squeeze_spaces
    assert read("plain").charsmap == b""


@pytest.mark.parametrize("change", [{"model_type": 1}, {"charsmap": b"x"}, {"plain_spaces": False}])
def test_a_model_of_another_kind_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(VadprobeError, match=r"not of the plain byte-pair kind.*--tokenizer"):
        dataclasses.replace(read(), **change).tokenizer(added())


def test_added_tokens_that_leave_a_hole_are_refused() -> None:
    tokens = added()
    del tokens[max(tokens) - 1]
    with pytest.raises(VadprobeError, match=r"would get the id \d+ instead of \d+"):
        read().tokenizer(tokens)


def test_two_tokens_of_the_same_text_are_refused() -> None:
    model = read()
    twice = dataclasses.replace(model, pieces=(*model.pieces, Piece("Yes", -1.0, 1), Piece("Yes", -2.0, 1)))
    with pytest.raises(VadprobeError, match="two tokens the same text"):
        twice.tokenizer({})


@pytest.mark.parametrize("size", [0, 1, 7, 100, 3000, -1])
def test_a_damaged_file_is_refused(tmp_path: Path, size: int) -> None:
    content = (GOLDEN / "sentencepiece_plain.model").read_bytes()
    path = tmp_path / "tokenizer.model"
    path.write_bytes(content[:size])
    with pytest.raises(VadprobeError):
        SentencePieceModel.read(path).tokenizer(added())


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(b"<html>not found</html>\n" * 40)
    with pytest.raises(VadprobeError, match="cannot be read as a SentencePiece model"):
        SentencePieceModel.read(path)
