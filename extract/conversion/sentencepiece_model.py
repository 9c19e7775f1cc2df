"""InternLM2's SentencePiece model (`tokenizer.model`, byte pairs) as a tokenizer of the `tokenizers` library."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers
from transformers.convert_slow_tokenizer import SpmConverter, generate_merges, import_protobuf

from vadprobe.store.errors import VadprobeError

_SPACE = "▁"
_BYTE_PAIRS = 2  # TrainerSpec.ModelType
_NORMAL, _USER_DEFINED, _UNUSED = 1, 4, 5  # SentencePiece.Type


def read_model(path: Path) -> Any:
    """Read `tokenizer.model` as a `ModelProto`.

    Raises:
        VadprobeError: if the file is damaged or is no SentencePiece model.
    """
    try:
        model = import_protobuf().ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise VadprobeError(f"{path} cannot be read as a SentencePiece model ({error}); get it again.") from error
    if not model.pieces:
        raise VadprobeError(f"{path} holds no tokens; get it again.")
    return model


def fast_tokenizer(model: Any, added: Mapping[int, AddedToken]) -> Tokenizer:
    """Build a tokenizer that gives the same tokens as a model.

    Tokens differ only where a text spells out a reserved piece of the model (such as "[UNUSED_TOKEN_141]") that an
    added token replaces: the built tokenizer reads that piece as text. As in InternLM2's slow tokenizer, the text
    between two added tokens is split by itself and gets its own prefix space.

    Args:
        model: a `ModelProto`.
        added: tokens by id that stand on their own in a text; they may replace pieces of the model.

    Raises:
        VadprobeError: if the model does more than byte pairs with a byte fallback, or the added tokens do not fit it.
    """
    _check_kind(model)
    texts = [added[number].content if number in added else piece.piece for number, piece in enumerate(model.pieces)]
    vocabulary = {text: number for number, text in enumerate(texts)}
    if len(vocabulary) != len(texts):
        raise VadprobeError("tokenizer.model and the added tokens give two tokens the same text; get both again.")
    scores = {piece.piece: piece.score for piece in model.pieces if piece.type == _NORMAL and piece.piece in vocabulary}
    made: Tokenizer = SpmConverter.build_tokenizer_from_spm_proto(
        model, vocabulary, generate_merges(vocabulary, scores)
    )
    rules = model.normalizer_spec
    steps: list[normalizers.Normalizer] = []
    if rules.remove_extra_whitespaces:  # spaces at both ends are dropped, and runs of spaces read as one
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if rules.add_dummy_prefix:
        steps.append(normalizers.Prepend(_SPACE))
        made.decoder = decoders.Sequence([made.decoder, decoders.Strip(" ", 1, 0)])
    made.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", _SPACE)])
    _add_tokens(made, model, added)
    return made


def _check_kind(model: Any) -> None:
    trainer, rules = model.trainer_spec, model.normalizer_spec
    plain_spaces = rules.escape_whitespaces and not trainer.treat_whitespace_as_suffix
    unused = any(piece.type == _UNUSED for piece in model.pieces)
    if trainer.model_type != _BYTE_PAIRS or rules.precompiled_charsmap or not plain_spaces or unused:
        raise VadprobeError(
            "tokenizer.model is not of the plain byte-pair kind that InternLM2 uses; convert it to a fast tokenizer "
            "(tokenizer.json) and give its folder with --tokenizer."
        )


def _add_tokens(made: Tokenizer, model: Any, added: Mapping[int, AddedToken]) -> None:
    """Add the model's user-defined pieces and the added tokens, each under its own id."""
    own = {
        number: AddedToken(piece.piece, normalized=False)
        for number, piece in enumerate(model.pieces)
        if piece.type == _USER_DEFINED
    }
    for number, token in sorted({**own, **added}.items()):
        if number in own and _SPACE in token.content:
            raise VadprobeError(
                f"tokenizer.model defines the token {token.content!r} with a space; give a fast tokenizer."
            )
        made.add_tokens([token])
        if made.token_to_id(token.content) != number:
            raise VadprobeError(
                f"the added token {token.content!r} would get the id {made.token_to_id(token.content)} instead of "
                f"{number}; the tokenizer's files do not belong together."
            )
