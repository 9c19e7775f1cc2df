"""The captioner's tokenizer: trained on the instructions and on every sentence of the grammar."""

from itertools import pairwise

from transformers import Qwen2Tokenizer

from vadprobe.extract.demo.captioner.instructions import INSTRUCTIONS, QUESTIONS
from vadprobe.extract.demo.captioner.sentences import all_sentences
from vadprobe.extract.demo.tiny_models import QWEN_TOKENS
from vadprobe.extract.demo.tiny_tokenizer import QWEN_TEMPLATE, train_tokenizer

_ROLES = "Yes No yes no Frame1: system user assistant You are a helpful assistant."


def captioner_tokenizer(size: int) -> Qwen2Tokenizer:
    """Return a tokenizer of `size` tokens beside the special ones; nearly every word of the grammar is one token."""
    instructions = [text for texts in (*INSTRUCTIONS.values(), *QUESTIONS.values()) for text in texts]
    sentences = [text for _, text in all_sentences()]
    after_others = [f"{first} {second}" for first, second in pairwise(sentences)]
    texts = [*instructions, _ROLES] * 8 + (sentences + after_others) * 4
    return train_tokenizer(
        QWEN_TOKENS, QWEN_TEMPLATE, texts, size, image_token="<|image_pad|>", video_token="<|video_pad|>"
    )
