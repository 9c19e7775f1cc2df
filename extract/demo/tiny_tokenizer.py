"""Tokenizers and chat templates of the tiny backbones."""

import json
from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import Qwen2Tokenizer

from vadprobe.store.format.prompts import SHIPPED

_TURN = "{{ '<|im_start|>' + message.role + '\\n' }}\n"
_TURNS = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string -%}{{ message.content }}{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'video' -%}{{ 'VIDEO' }}
{%- elif part.type == 'image' -%}{{ 'IMAGE' }}
{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}{%- endif -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
QWEN3_TEMPLATE = _TURNS.replace("VIDEO", "<|vision_start|><|video_pad|><|vision_end|>").replace(
    "IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"
)
QWEN_TEMPLATE = QWEN3_TEMPLATE.replace(  # the older model has a system message of its own
    _TURN,
    "{%- if loop.first and message.role != 'system' -%}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif -%}\n" + _TURN,
)
INTERN_TEMPLATE = _TURNS.replace("VIDEO", "<video>\\n").replace("IMAGE", "<IMG_CONTEXT>\\n")
LLAVA_TEMPLATE = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + ' ' }}
{%- for part in message.content if part.type == 'video' -%}{{ '<video>' }}{%- endfor -%}
{%- for part in message.content if part.type == 'image' -%}{{ '<image>' }}{%- endfor -%}
{%- for part in message.content if part.type == 'text' -%}{{ '\\n' + part.text }}{%- endfor -%}
{{ '<|im_end|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""


PROMPT_TEXTS = (*(prompt.text for prompt in SHIPPED.values()), *["Yes No yes no Frame1: system user assistant"] * 3)
"""Texts that the tokenizer is trained on by default: the shipped prompts, and the words around them."""


def train_tokenizer(
    tokens: tuple[str, ...], template: str, texts: Sequence[str] = PROMPT_TEXTS, size: int = 600, **named: str
) -> Qwen2Tokenizer:
    """Train a byte-level BPE, in the real tokenizer class.

    Args:
        tokens: special tokens.
        template: the chat template.
        texts: what it is trained on.
        size: number of tokens, without the special ones.
        named: special tokens that the tokenizer knows by an attribute, such as `video_token`.
    """
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trained.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    trained.train_from_iterator(texts, trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]]
    vocabulary = {**model["vocab"], "<|endoftext|>": len(model["vocab"])}
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=merges, extra_special_tokens=named)
    tokenizer.add_special_tokens({"additional_special_tokens": [t for t in tokens if t not in named.values()]})
    tokenizer.chat_template = template
    return tokenizer
