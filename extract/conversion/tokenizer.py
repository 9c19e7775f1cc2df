"""The small files of a converted InternVL checkpoint: tokenizer, chat template, image and generation settings."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, InternVLConfig, PreTrainedTokenizerFast

from vadprobe.extract.families.internvl_chat import NEWER_SYSTEM, OLDER_SYSTEM
from vadprobe.extract.families.library import one_line
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json, write_json

# The names under which the native tokenizer knows its image tokens. "<video>" marks a video's place in the chat
# template and is replaced before a text is split into tokens, so it needs no embedding.
_NAMED = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
_TOKENIZER_FILES = (
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
_FAST, _PIECES, _SETTINGS = "tokenizer.json", "tokenizer.model", "tokenizer_config.json"
_TURN_START, _TURN_END = "<|im_start|>", "<|im_end|>"
# Name of the conversation in config.json: the end of a turn, and the system message of the original chat().
_CONVERSATIONS = {
    "Hermes-2": (_TURN_END, OLDER_SYSTEM),
    "internlm2-chat": (_TURN_END, OLDER_SYSTEM),
    "internvl2_5": (f"{_TURN_END}\n", NEWER_SYSTEM),
}
_CHAT = """\
{%- if messages[0].role != 'system' -%}{{ SYSTEM }}{%- endif -%}
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string -%}{{ message.content }}{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'video' -%}{{ '<video>\\n' }}
{%- elif part.type == 'image' -%}{{ '<IMG_CONTEXT>\\n' }}
{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}{%- endif -%}
{{ END }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def write_tokenizer(
    source: Path, folder: Path, config: Mapping[str, Any], tokenizer_folder: Path | None, system_turn: bool
) -> int:
    """Write the tokenizer with its chat template.

    Args:
        source: the original checkpoint.
        folder: folder to write to.
        config: the original `config.json`.
        tokenizer_folder: folder of a fast tokenizer to take instead of the original's; None for the original's.
        system_turn: True for a chat template that begins with the original's system message.

    Returns:
        The id of the token that stands for a piece of an image.

    Raises:
        VadprobeError: if the tokenizer cannot be read or lacks a token, or the conversation is not known.
    """
    try:
        tokenizer = _load(tokenizer_folder or source)
    except (KeyError, TypeError, AttributeError) as error:
        raise VadprobeError(
            f"{_SETTINGS} in {tokenizer_folder or source} is damaged ({error!r}); get it again."
        ) from error
    vocabulary = tokenizer.get_vocab()
    wanted = (*_NAMED.values(), _TURN_START, _TURN_END)
    lacking = [token for token in wanted if token not in vocabulary]
    if lacking:
        raise VadprobeError(
            f"the tokenizer in {tokenizer_folder or source} has no token {lacking[0]}, which InternVL's prompts need."
        )
    size = int(config["llm_config"].get("vocab_size") or 0)
    outside = [token for token in wanted if token != _NAMED["video_token"] and vocabulary[token] >= size]
    if outside:
        raise VadprobeError(
            f"the tokenizer gives {outside[0]} the id {vocabulary[outside[0]]}, but the model has {size} embeddings; "
            "it is not this checkpoint's. Give the right one with --tokenizer."
        )
    tokenizer.chat_template = chat_template(config, system_turn)
    tokenizer.save_pretrained(folder)
    return int(vocabulary[_NAMED["context_image_token"]])


def chat_template(config: Mapping[str, Any], system_turn: bool) -> str:
    """Return the template of the conversation that `config.json` names: ChatML, a turn's video before its text.

    Raises:
        VadprobeError: if the conversation is not known.
    """
    name = config.get("template")
    if name not in _CONVERSATIONS:
        raise VadprobeError(
            f"config.json names the conversation (template) {name!r}; known are {', '.join(_CONVERSATIONS)}."
        )
    end, system = _CONVERSATIONS[str(name)]
    system = config.get("system_message") or system
    first = f"{_TURN_START}system\n{system}{end}" if system_turn else ""
    return _CHAT.replace("SYSTEM", _quoted(first)).replace("END", _quoted(end))


def _quoted(text: str) -> str:
    """Write a text as a Jinja string."""
    return json.dumps(text, ensure_ascii=False)


def _load(folder: Path) -> Any:
    """Load the tokenizer with InternVL's named tokens."""
    settings = _settings(folder / _SETTINGS)
    vocabulary = (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    if (folder / _FAST).is_file() or vocabulary:
        return _load_fast(folder, settings)
    if not (folder / _PIECES).is_file():
        raise VadprobeError(
            f"{folder} has no tokenizer; it must hold {_FAST}, vocab.json with merges.txt, or {_PIECES}. Give the "
            "folder of a fast tokenizer with --tokenizer."
        )
    if settings.get("tokenizer_class") not in ("InternLM2Tokenizer", "InternLM2TokenizerFast"):
        raise VadprobeError(
            f"{_PIECES} in {folder} is of the class {settings.get('tokenizer_class')!r}, whose rules are not known "
            f"here; convert it to a fast tokenizer ({_FAST}) and give its folder with --tokenizer."
        )
    return _load_pieces(folder / _PIECES, settings)


def _settings(path: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one if there is no such file."""
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise VadprobeError(f"{path} holds no settings by name; get it again.")
    return content


def _load_fast(folder: Path, settings: dict[str, Any]) -> Any:
    """Load through transformers, from copies without any reference to code of the checkpoint."""
    settings = {key: value for key, value in settings.items() if key != "auto_map"}
    if (folder / _FAST).is_file():
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # the file as it is, rebuilt by no class
    with tempfile.TemporaryDirectory() as copies:
        for name in _TOKENIZER_FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, Path(copies, name))
        Path(copies, _SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        try:
            tokenizer = AutoTokenizer.from_pretrained(copies, extra_special_tokens=_NAMED, trust_remote_code=False)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise VadprobeError(f"the tokenizer in {folder} cannot be read ({one_line(error)}).") from error
    if not tokenizer.is_fast:
        raise VadprobeError(f"the tokenizer in {folder} must be a fast one ({_FAST}).")
    ids = tokenizer.get_vocab()
    for number, token in settings.get("added_tokens_decoder", {}).items():
        if ids.get(token["content"]) != int(number):
            raise VadprobeError(
                f"the tokenizer in {folder} reads {token['content']!r} as {ids.get(token['content'])}, but its "
                f"settings say {number}; its files do not belong together."
            )
    return tokenizer


def _load_pieces(path: Path, settings: Mapping[str, Any]) -> Any:
    """Load InternLM2's slow tokenizer as a fast one."""
    added = {
        int(number): AddedToken(token["content"], special=bool(token.get("special", True)), normalized=False)
        for number, token in settings.get("added_tokens_decoder", {}).items()
    }
    try:
        # Imported here, as it needs the extra 'convert', which checkpoints with a fast tokenizer do without.
        from vadprobe.extract.conversion.sentencepiece_model import fast_tokenizer, read_model  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise VadprobeError(
            f"{path.name} is read with the package 'protobuf', which is not installed; install it with: "
            "pip install 'vadprobe[convert]'. Or give the folder of a fast tokenizer with --tokenizer."
        ) from error
    made = fast_tokenizer(read_model(path), added)
    bos, eos = (settings.get(f"{name}_token") or default for name, default in (("bos", "<s>"), ("eos", "</s>")))
    single = [bos] * bool(settings.get("add_bos_token", True)) + ["$A"]
    single += [eos] * bool(settings.get("add_eos_token", False))
    made.post_processor = TemplateProcessing(
        single=single, special_tokens=[(token, made.token_to_id(token)) for token in (bos, eos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=bos,
        eos_token=eos,
        unk_token=settings.get("unk_token") or "<unk>",
        pad_token=settings.get("pad_token") or eos,
        additional_special_tokens=[token.content for token in added.values() if token.special],
        model_specific_special_tokens=_NAMED,
        clean_up_tokenization_spaces=False,
    )


def write_settings(source: Path, folder: Path, native: InternVLConfig) -> None:
    """Write the settings of images and videos, and the tokens that end a generation.

    Args:
        source: the original checkpoint, whose scaling of pixels is kept; ImageNet's if it has none.
        folder: the converted checkpoint, with its tokenizer.
        native: the converted configuration.

    Raises:
        VadprobeError: if a file of the original is damaged.
    """
    own = _settings(source / "preprocessor_config.json")
    scaling = {key: own.get(key) or default for key, default in _IMAGENET.items()}
    height, width = native.vision_config.image_size
    pixels = {
        "size": {"height": height, "width": width},
        **scaling,
        "resample": 3,  # bicubic
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "rescale_factor": 1 / 255,
    }
    names = {"processor_class": "InternVLProcessor"}
    images = {"image_processor_type": "GotOcr2ImageProcessor"}
    videos = {"video_processor_type": "InternVLVideoProcessor"}
    write_json(folder / "preprocessor_config.json", {**pixels, **names, **images})
    write_json(folder / "video_preprocessor_config.json", {**pixels, **names, **videos})
    write_json(folder / "processor_config.json", {**names, "image_seq_length": native.image_seq_length})
    turn_end = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(_TURN_END)
    stops = _settings(source / "generation_config.json").get("eos_token_id") or []
    ids = {turn_end, *(stops if isinstance(stops, list) else [stops])}
    write_json(folder / "generation_config.json", {"eos_token_id": sorted(ids)})
