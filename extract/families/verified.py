"""The families that were verified on tiny random models of transformers' own classes, and what was verified of each."""

from dataclasses import dataclass

NOT_VERIFIED = (
    "Other image-text-to-text models of transformers are read through their AutoProcessor too, if they "
    "are decoder-only and their language model has a list of blocks named 'layers'; 'vadprobe plan' says "
    "if one is not. None of these models was run here with its published weights."
)
MEANINGS = (
    ("inputs", "'own': made by vadprobe, bit-equal to the library's processor; 'processor': made by that processor"),
    ("heads", "blocks that have attention heads to capture; hidden states are captured of all blocks"),
    ("layers", "hidden states and answer logits against those that the library's generate() reports"),
    ("outputs", "heads against an attention written out head by head ('reference'), or projected ('projection')"),
    ("prefix", "the tokens before the prompts' texts run once for all prompts, equal to a pass for each"),
)
"""Columns of the table, and what each says. Passes that end early are verified for all."""


@dataclass(frozen=True)
class VerifiedFamily:
    """One family and what the tests say of it.

    Attributes:
        name: model type in transformers.
        models: published models of that family.
        inputs: "own" or "processor".
        heads: the blocks that have heads.
        layers: agreement with the library's own report: "equal", bit by bit, or "rounding".
        outputs: what the heads were compared with, "reference" or "projection".
        prefix: whether prompts share the tokens before their texts.
        needs: packages that its processor needs beside those of vadprobe.
    """

    name: str
    models: str
    inputs: str
    heads: str
    layers: str
    outputs: str
    prefix: bool = False
    needs: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """Cells of the family's row."""
        prefix = "shared" if self.prefix else "each its own"
        return (self.name, self.models, self.inputs, self.heads, self.layers, self.outputs, prefix, self.needs or "-")


HEAD = ("family", "models", "inputs", "heads", "layers", "outputs", "prefix", "needs")
_VISION = "torchvision"
VERIFIED = (
    VerifiedFamily("internvl", "InternVL2, 2.5, 3, Holmes-VAU", "own", "all", "equal", "reference", True),
    VerifiedFamily("llava_onevision", "LLaVA-OneVision", "own", "all", "equal", "reference", True),
    VerifiedFamily("qwen2_5_vl", "Qwen2.5-VL", "own", "all", "equal", "reference", True),
    VerifiedFamily("qwen3_vl", "Qwen3-VL", "own", "all", "equal", "reference", True),
    VerifiedFamily("qwen3_5", "Qwen3.5", "own", "full attention only", "rounding", "reference"),
    VerifiedFamily("gemma3", "Gemma 3", "processor", "all", "equal", "projection"),
    VerifiedFamily("gemma4", "Gemma 4", "processor", "all, two widths", "rounding", "reference", needs=_VISION),
    VerifiedFamily("glm4v_moe", "GLM-4.5V", "processor", "all", "equal", "projection", needs=_VISION),
    VerifiedFamily("idefics3", "Idefics3", "processor", "all", "equal", "reference"),
    VerifiedFamily("llava", "LLaVA", "processor", "all", "equal", "reference"),
    VerifiedFamily("llava_next_video", "LLaVA-NeXT-Video", "processor", "all", "equal", "reference", needs=_VISION),
    VerifiedFamily(
        "minicpmv4_6", "MiniCPM-V 4.6", "processor", "full attention only", "equal", "projection", needs=_VISION
    ),
    VerifiedFamily("qwen2_vl", "Qwen2-VL", "processor", "all", "equal", "reference", needs=_VISION),
    VerifiedFamily("qwen3_vl_moe", "Qwen3-VL with experts", "processor", "all", "equal", "projection", needs=_VISION),
    VerifiedFamily("smolvlm", "SmolVLM2", "processor", "all", "equal", "reference", needs=f"{_VISION}, num2words"),
)
"""Families that the tests under `tests/extract` run; a test keeps this list."""
