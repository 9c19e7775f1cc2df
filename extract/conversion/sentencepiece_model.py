"""SentencePiece models (``tokenizer.model``) of the byte-pair kind, as a tokenizer of the ``tokenizers`` library.

The file is a protocol buffer (sentencepiece_model.proto) of which five fields matter, so that neither the sentencepiece
nor the protobuf package is needed.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers
from tokenizers.models import BPE

from vadprobe.store.errors import VadprobeError

_SPACE = "▁"
_BPE = 2  # TrainerSpec.ModelType
_NORMAL, _UNKNOWN, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 4, 5, 6  # SentencePiece.Type
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types

Field = int | bytes


@dataclass(frozen=True)
class Piece:
    """One token: its text, its score (pieces of higher score are merged first) and its kind."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True)
class SentencePieceModel:
    """What of a model decides the tokens.

    Attributes:
        pieces: by token id.
        model_type: 1 unigram, 2 byte pairs.
        charsmap: a table of character replacements, empty for none.
        dummy_prefix: a space is put before every text.
        squeeze_spaces: spaces at both ends are dropped, and runs of spaces read as one.
        plain_spaces: spaces become the mark of a space, which begins a word.
    """

    pieces: tuple[Piece, ...]
    model_type: int
    charsmap: bytes
    dummy_prefix: bool
    squeeze_spaces: bool
    plain_spaces: bool

    @classmethod
    def read(cls, path: Path) -> "SentencePieceModel":
        """Read ``tokenizer.model``.

        Raises:
            VadprobeError: if it is damaged or no SentencePiece model.
        """
        try:
            fields = list(_fields(path.read_bytes()))
            pieces = tuple(_piece(_as_bytes(value)) for number, value in fields if number == 1)
            trainer, normalizer = (dict(_last(fields, number)) for number in (2, 3))
        except (ValueError, IndexError, struct.error) as error:
            raise VadprobeError(f"{path} cannot be read as a SentencePiece model ({error}); get it again.") from error
        if not pieces:
            raise VadprobeError(f"{path} holds no tokens; get it again.")
        return cls(
            pieces=pieces,
            model_type=_number(trainer, 3, default=1),
            charsmap=_as_bytes(normalizer.get(2, b"")),
            dummy_prefix=bool(_number(normalizer, 3, default=1)),
            squeeze_spaces=bool(_number(normalizer, 4, default=1)),
            plain_spaces=bool(_number(normalizer, 5, default=1)) and not _number(trainer, 24, default=0),
        )

    def tokenizer(self, added: Mapping[int, AddedToken]) -> Tokenizer:
        """The same tokens from the ``tokenizers`` library.

        They differ only where a text spells out a reserved piece of the model (such as "[UNUSED_TOKEN_141]") that an
        added token replaces: it is read as text. As in InternLM2's slow tokenizer, what lies between two added tokens
        is a text of its own, with a prefix of its own.

        Args:
            added: tokens by id that stand on their own in a text; they may replace pieces of the model.

        Raises:
            VadprobeError: if the model does what byte pairs with a byte fallback do not.
        """
        unused = any(piece.kind == _UNUSED for piece in self.pieces)
        if self.model_type != _BPE or self.charsmap or not self.plain_spaces or unused:
            raise VadprobeError(
                "tokenizer.model is not of the plain byte-pair kind that InternLM2 uses; convert it to a fast "
                "tokenizer (tokenizer.json) and give its folder with --tokenizer."
            )
        texts = [added[number].content if number in added else piece.text for number, piece in enumerate(self.pieces)]
        vocabulary = {text: number for number, text in enumerate(texts)}
        if len(vocabulary) != len(texts):
            raise VadprobeError("tokenizer.model and the added tokens give two tokens the same text; get both again.")
        unknown = next((piece.text for piece in self.pieces if piece.kind == _UNKNOWN), None)
        made = Tokenizer(
            BPE(
                vocabulary,
                _merges(self.pieces, vocabulary),
                unk_token=unknown,
                fuse_unk=True,
                byte_fallback=any(piece.kind == _BYTE for piece in self.pieces),
            )
        )
        made.normalizer = normalizers.Sequence(self._normalizers())
        strip = [decoders.Strip(" ", 1, 0)] if self.dummy_prefix else []
        made.decoder = decoders.Sequence(
            [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
        )
        alone = {n: AddedToken(p.text, normalized=False) for n, p in enumerate(self.pieces) if p.kind == _USER_DEFINED}
        for number, token in sorted({**alone, **added}.items()):
            if _SPACE in token.content and number in alone:
                raise VadprobeError(
                    f"tokenizer.model defines the token {token.content!r} with a space; give a fast tokenizer."
                )
            made.add_tokens([token])
            if made.token_to_id(token.content) != number:
                raise VadprobeError(
                    f"the added token {token.content!r} would get the id {made.token_to_id(token.content)} instead of "
                    f"{number}; the tokenizer's files do not belong together."
                )
        return made

    def _normalizers(self) -> list[normalizers.Normalizer]:
        steps: list[normalizers.Normalizer] = []
        if self.squeeze_spaces:
            steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
        if self.dummy_prefix:
            steps.append(normalizers.Prepend(_SPACE))
        return [*steps, normalizers.Replace(" ", _SPACE)]


def _merges(pieces: tuple[Piece, ...], vocabulary: Mapping[str, int]) -> list[tuple[str, str]]:
    """Pairs in the order in which they are merged: by the score of what they form, then by their own ids."""
    ranked = []
    for piece in pieces:
        if piece.kind != _NORMAL or piece.text not in vocabulary:
            continue
        text = piece.text
        pairs = [(text[:cut], text[cut:]) for cut in range(1, len(text))]
        known = [(a, b) for a, b in pairs if a in vocabulary and b in vocabulary]
        ranked += [(-piece.score, vocabulary[a], vocabulary[b], (a, b)) for a, b in known]
    return [pair for *_, pair in sorted(ranked)]


def _piece(message: bytes) -> Piece:
    fields = dict(_fields(message))
    (score,) = struct.unpack("<f", _as_bytes(fields.get(2, b"\0\0\0\0")))
    return Piece(_as_bytes(fields.get(1, b"")).decode(), score, _number(fields, 3, default=_NORMAL))


def _last(fields: list[tuple[int, Field]], number: int) -> list[tuple[int, Field]]:
    """Fields of the embedded message of that number; none if it is not there."""
    found = [value for key, value in fields if key == number]
    return list(_fields(_as_bytes(found[-1]))) if found else []


def _number(fields: Mapping[int, Field], number: int, default: int) -> int:
    value = fields.get(number, default)
    if not isinstance(value, int):
        raise ValueError(f"field {number} is no number")
    return value


def _as_bytes(value: Field) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where bytes are wanted")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, Field]]:
    """Field numbers and values of a protocol buffer message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {kind}")
        if at + size > len(message):
            raise ValueError("it is cut off")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
