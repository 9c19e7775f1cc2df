"""Operations of a pass over one clip, counted from shapes.

Only matrix products count, two operations for each multiplication and addition, as torch's FlopCounterMode counts. A
linear map of r rows from n to m values is 2 r n m; attention of q queries over k keys, whose heads have w values
together, is 4 q k w, the masked half of the attention's scores included. Norms, activations, softmax, rotations and the
resizing of frames are left out.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

Term = tuple[int, int, int]


@dataclass(frozen=True)
class TextShape:
    """Shapes of a language model whose blocks have grouped attention and a gated feed-forward part of three maps."""

    blocks: int
    hidden: int
    heads: int
    key_value_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int

    def block(self, queries: int, keys: int) -> int:
        """Count the operations of one block over `queries` tokens that see `keys` tokens, themselves included."""
        attention = self.head_dim * self.hidden * 2 * (self.heads + self.key_value_heads)
        maps = attention + 3 * self.hidden * self.intermediate
        return 2 * queries * maps + 4 * queries * keys * self.heads * self.head_dim

    @property
    def head(self) -> int:
        """Operations of the logits of one token."""
        return 2 * self.hidden * self.vocabulary


@dataclass(frozen=True)
class PassShape:
    """Shapes of the passes over one clip.

    Attributes:
        text: the language model.
        linear: linear maps of the vision tower and its projector as (rows, inputs, outputs), per clip.
        attention: its attention as (queries, keys, values of all heads), per clip.
        shared: tokens that run once for all prompts; 0 where a prompt is a pass of its own.
        own: by prompt, the tokens that run for it alone.
    """

    text: TextShape
    linear: tuple[Term, ...]
    attention: tuple[Term, ...]
    shared: int
    own: dict[str, int]

    @property
    def vision(self) -> int:
        """Operations of the vision tower, which runs once for all prompts."""
        maps = sum(2 * rows * inputs * outputs for rows, inputs, outputs in self.linear)
        return maps + sum(4 * queries * keys * width for queries, keys, width in self.attention)

    def operations(self, prompts: Sequence[str], blocks: int | None = None) -> int:
        """Count the operations of a pass over one clip that ends after `blocks` blocks, by default after all.

        The two rows of the language head that make the logits of yes and no are left out.

        Raises:
            KeyError: if a prompt is unknown.
        """
        blocks = self.text.blocks if blocks is None else blocks
        own = [self.own[prompt] for prompt in prompts]
        each = self.text.block(self.shared, self.shared) if self.shared else 0
        each += sum(self.text.block(count, self.shared + count) for count in own)
        return self.vision + blocks * each

    def text_operations(self, prompt: str, tokens: int) -> int:
        """Count the operations of a text of `tokens` tokens about one clip: a full pass, then one pass per token."""
        length, shape = self.shared + self.own[prompt], self.text
        first = self.vision + shape.blocks * shape.block(length, length)
        later = sum(shape.blocks * shape.block(1, length + place) for place in range(1, tokens))
        return first + later + tokens * shape.head

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "PassShape":
        """Read back `to_json`.

        Raises:
            KeyError, TypeError, ValueError: if it is not as this version writes it.
        """
        linear, attention = (tuple(_term(term) for term in value[name]) for name in ("linear", "attention"))
        return PassShape(TextShape(**value["text"]), linear, attention, int(value["shared"]), dict(value["own"]))


def _term(value: Sequence[int]) -> Term:
    first, second, third = map(int, value)
    return first, second, third
