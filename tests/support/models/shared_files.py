"""Sizes, chat templates and processors' files of tiny checkpoints of many families."""

from typing import Any

from vadprobe.extract.demo.tiny_models import TEXT_SIZES, VISION_SIZES

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
SIZES = {**TEXT_SIZES, "num_hidden_layers": 4}
TOWER: dict[str, Any] = {**VISION_SIZES, "image_size": 56, "patch_size": 14}
TURNS = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string -%}{{ message.content }}{%- else -%}
{%- for part in message.content -%}
MEDIA{%- if part.type == 'text' -%}{{ part.text }}{%- endif -%}
{%- endfor -%}{%- endif -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""


def template(**media: str) -> str:
    """Return a chat template that writes a token for each kind of part."""
    written = [
        f"{{%- if part.type == '{kind}' -%}}{{{{ '{token}' }}}}{{%- endif -%}}\n" for kind, token in media.items()
    ]
    return TURNS.replace("MEDIA", "".join(written))


def files(family: str, pixels: dict[str, Any], images: str, **rest: Any) -> dict[str, dict[str, Any]]:
    """Return a processor's settings of images, and its own, by file name."""
    names = {"processor_class": f"{family}Processor"}
    return {
        "preprocessor_config.json": {**names, **pixels, "image_processor_type": f"{images}ImageProcessor"},
        "processor_config.json": {**names, **rest},
    }
