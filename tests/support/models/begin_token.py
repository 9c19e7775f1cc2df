"""A tokenizer that puts a token before every text."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer


def with_begin_token(folder: Path) -> Any:
    """Turn the tokenizer into one that puts a token before every text, as the Llama tokenizer of InternVL2.5 does."""
    settings = json.loads((folder / "tokenizer.json").read_text())
    number = next(token["id"] for token in settings["added_tokens"] if token["content"] == "<|endoftext|>")
    settings["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [number], "tokens": ["<|endoftext|>"]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    path = folder / "tokenizer_config.json"
    path.write_text(
        json.dumps(
            {**json.loads(path.read_text()), "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>"}
        )
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("a")["input_ids"][0] == number, "the tokenizer puts no token in front"
    return tokenizer
