"""Recipe of the three `sentencepiece_*.model` files and of `sentencepiece_tokens.json`, the tokens that they give.

Run it where the package sentencepiece is installed (0.2.3 was): `python tests/data/sentencepiece_tokens.py`. The
models are small ones of InternLM2's kind: byte pairs, byte fallback, no normalisation, pieces that are reserved for
special tokens. The tokens are those of InternLM2's slow tokenizer: the text is cut at its added tokens, and what lies
between goes through the sentencepiece library.
"""

import json
import random
import re
from pathlib import Path

import sentencepiece

HERE = Path(__file__).parent
RESERVED = [f"[UNUSED_TOKEN_{number}]" for number in (141, 142, 143, 144, 145, 146, 147)]
IN_PLACE = ["<|plugin|>", "<|interpreter|>", "<|action_end|>", "<|action_start|>", "<|im_end|>", "<|im_start|>"]
BEYOND = ["<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"]
CORPUS = """\
Is there something abnormal in this video? Answer with Yes or No. The camera shows a street where people walk and cars
drive; a man in a red jacket runs across the road, falls, and is helped by two women. Frame1: Frame2: Frame10: Frame16:
    def report(done, total):
        print(f"{done} of {total}")  # 100 % at the end
异常检测：视频中是否有异常事件？请回答是或否。一个男人在街上奔跑，两个女人在帮助他。
Überwachung, déjà vu, naïve façade; 1234567890 3.14159 2026-11-23 12:35
user assistant system Yes No yes no video anomaly detection fighting stealing explosion robbery shooting vandalism
"""
TEXTS = [
    "",
    " ",
    "   ",
    "\n",
    "Yes",
    "No",
    " Yes",
    "Is there  something   abnormal?",
    "  leading and trailing  ",
    "tab\there\r\nand there",
    "异常 video 异常",
    "emoji 🚗💥 and rare ℵ₀ ꙮ",
    "déjà vu — naïve",
    "e\u0301 and \u00e9",
    "\u2581 is the mark of a space",
    "[UNUSED_TOKEN_147] stays a token [UNUSED_TOKEN_147]x",
    "<|im_start|>user\nFrame1: <img><IMG_CONTEXT><IMG_CONTEXT></img>\nWhat is it?<|im_end|><|im_start|>assistant\n",
    "<|im_start|> <|im_end|>",
    "a<img>b",
    "<s>text</s>",
    "<unk> <0x41>",
]


def train(name: str, dummy_prefix: bool, squeeze_spaces: bool) -> sentencepiece.SentencePieceProcessor:
    """Train one model."""
    prefix = HERE / f"sentencepiece_{name}"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.splitlines() * 5),
        model_prefix=str(prefix),
        model_type="bpe",
        vocab_size=520,
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="identity",
        add_dummy_prefix=dummy_prefix,
        remove_extra_whitespaces=squeeze_spaces,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=RESERVED,
        num_threads=1,
        minloglevel=2,
    )
    prefix.with_suffix(".vocab").unlink()
    return sentencepiece.SentencePieceProcessor(model_file=str(prefix.with_suffix(".model")))


def added_tokens(model: sentencepiece.SentencePieceProcessor) -> dict[int, str]:
    """Added tokens by id: the control tokens, those in the place of reserved pieces, those beyond the model."""
    places = {model.piece_to_id(piece): token for piece, token in zip(RESERVED, IN_PLACE, strict=False)}
    beyond = {model.get_piece_size() + number: token for number, token in enumerate(BEYOND)}
    return {0: "<unk>", 1: "<s>", 2: "</s>"} | places | beyond


def tokens(model: sentencepiece.SentencePieceProcessor, added: dict[int, str], text: str) -> list[int]:
    """Ids of a text, the first token before it."""
    ids = {token: number for number, token in added.items()}
    longest_first = sorted(ids, key=len, reverse=True)
    found = [1]
    for part in re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text):
        if part:
            found.extend([ids[part]] if part in ids else model.encode(part))
    return found


def texts() -> list[str]:
    """The texts above and random mixtures of their characters and words."""
    generator = random.Random(0)
    rare = ["🚗", "ℵ", "  ", "\n", "\t", "[UNUSED_TOKEN_147]", "<img>", "</img>", "\u00a0", "x", "0"]
    words = [*CORPUS.split(), *rare]
    mixed = [generator.choice(["", " "]).join(generator.choices(words, k=generator.randint(1, 12))) for _ in range(60)]
    letters = ["".join(generator.choices(sorted(set(CORPUS)), k=generator.randint(1, 30))) for _ in range(60)]
    return [*TEXTS, *mixed, *letters]


def main() -> None:
    """Write the models and their tokens."""
    content = {}
    for name, dummy_prefix, squeeze in (("plain", False, False), ("prefixed", True, False), ("squeezed", True, True)):
        model = train(name, dummy_prefix, squeeze)
        added = added_tokens(model)
        # After a reserved piece in the middle of a text the library puts no second prefix; nobody writes such texts.
        plain = [text for text in texts() if not (dummy_prefix and RESERVED[-1] in text)]
        cases = [{"text": text, "ids": tokens(model, added, text)} for text in plain]
        content[name] = {"added": added, "cases": cases}
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    (HERE / "sentencepiece_tokens.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
