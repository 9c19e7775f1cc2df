"""The settings of stage 1 in a job file."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from vadprobe.store.settings import Section


class BackboneConfig(Section):
    """Section `[backbone]`: the frozen model and its settings."""

    key: str = Field(description="folder name of this backbone in the store")
    path: str = Field(description="a local folder, or a hub id such as OpenGVLab/InternVL3-8B-hf")
    revision: str | None = Field(default=None, description="hub commit; a local folder has none")
    dtype: Literal["bfloat16", "float16", "float32"] = Field(
        default="bfloat16", description="number type of the weights, the passes and the stored features"
    )
    attention: Literal["sdpa", "eager", "flash_attention_2"] = Field(
        default="sdpa", description="implementation of attention in transformers; part of the features' specification"
    )
    frame_size: tuple[int, int] | None = Field(
        default=None,
        description="height and width in pixels, for Qwen2.5-VL and Qwen3-VL (by default 448 x 448); the vision towers "
        "of InternVL and LLaVA-OneVision take one size only, and every other family's own processor chooses",
    )
    chat: Literal["native", "internvl-chat"] = Field(
        default="native",
        description="the conversation around video and prompt: 'native', the checkpoint's own chat template; "
        "'internvl-chat', the conversation of InternVL's own model.chat(), which begins with its published system "
        "message (InternVL and Holmes-VAU only). Part of the features' specification",
    )
    system: str | None = Field(
        default=None,
        min_length=1,
        description="message of a system turn before the user's, in any family whose chat template takes one; part of "
        "the features' specification",
    )
    trust_remote_code: bool = Field(default=False, description="run Python code found in the checkpoint")

    @field_validator("chat", mode="before")
    @classmethod
    def _first_name(cls, value: Any) -> Any:
        return "internvl-chat" if value == "papers" else value  # the first name of this setting, in older job files

    @model_validator(mode="after")
    def _one_system_message(self) -> Self:
        if self.chat == "internvl-chat" and self.system is not None:
            raise ValueError("chat = 'internvl-chat' brings its own system message; leave system out, or chat")
        return self

    @field_validator("frame_size")
    @classmethod
    def _positive(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and min(value) < 1:
            raise ValueError(f"both sides must be at least 1 pixel, got {value[0]} x {value[1]}")
        return value


class ExtractionConfig(Section):
    """Section `[extraction]`: the settings of the work. `batch_clips` is part of the features' specification."""

    device: str = Field(
        default="auto",
        description="'auto' takes a GPU when there is one; else 'cpu', 'cuda:1', ...; 'balanced' spreads a model too "
        "large for one GPU over all of them, which needs the extra 'spread'",
    )
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads of the model; by default all cores but one, which decodes"
    )
    batch_clips: int | Literal["auto"] = Field(
        default=8,
        description="clips per forward pass; 'auto' takes as many as the GPU's free memory allows (8 on the CPU), and "
        "fewer when it runs out; each partition's record names the numbers",
    )
    decoders: int | None = Field(
        default=None, ge=1, description="decoder processes; by default one beside a CPU, up to four beside a GPU"
    )
    prefix: Literal["shared", "independent"] = Field(
        default="shared",
        description="'shared': the tokens before the prompt's text run once for all prompts of a clip; 'independent': "
        "each prompt is a pass of its own. Equal up to rounding; part of the features' specification",
    )
    compile: bool = Field(
        default=False,
        description="compile the language model's blocks with torch.compile: minutes at the start, then faster passes. "
        "Equal up to rounding; part of the features' specification",
    )
    reader: Literal["auto", "pyav", "decord"] = Field(
        default="auto",
        description="library that decodes videos: 'auto' is 'pyav', which reads everything; 'decord' reads the files "
        "that it reads correctly, and PyAV the rest. Both give the same frames, so no specification names it",
    )
    new_videos: Literal["refuse", "append", "later"] = Field(
        default="refuse",
        description="videos that a dataset has gained since its stores were planned: 'refuse' them; "
        "'append' their clips after the others and compute only these; or leave them for "
        "'later'",
    )
    decode_deadline: float = Field(
        default=60.0, gt=0, description="seconds without progress in decoding before a clip fails"
    )

    @field_validator("batch_clips", mode="before")
    @classmethod
    def _number_or_auto(cls, value: Any) -> Any:
        if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        raise ValueError(f"must be a positive integer or 'auto', got {value!r}")

    @model_validator(mode="after")
    def _compiled_on_one_device(self) -> "ExtractionConfig":
        if self.compile and self.device == "balanced":
            raise ValueError("compile = true needs the whole model on one device, not device = 'balanced'")
        return self
