"""Choice of the next token of a text: the likeliest, or one drawn by a seed."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vadprobe.store.errors import VadprobeError


@dataclass(frozen=True)
class TokenChoice:
    """Rule of the next token.

    Attributes:
        temperature: 0 takes the likeliest token (greedy); above, one is drawn from softmax(logits / temperature).
        top_p: in (0, 1]; a token is drawn from the smallest set of likeliest tokens whose mass reaches this.
        seed: seed of the draws. Each text has draws of its own, so that it does not depend on its batch.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise VadprobeError(f"temperature must be a finite number from 0, got {self.temperature}; 0 is greedy.")
        if not 0 < self.top_p <= 1:
            raise VadprobeError(f"top_p must be above 0 and at most 1, got {self.top_p}; 1 draws among all tokens.")
        if self.seed < 0:
            raise VadprobeError(f"seed must be a whole number from 0, got {self.seed}.")

    @property
    def is_greedy(self) -> bool:
        """True if nothing is drawn."""
        return self.temperature == 0

    def to_json(self) -> dict[str, Any]:
        """Return the settings that decide a text; a greedy choice leaves `top_p` and the seed out."""
        return {"temperature": 0.0} if self.is_greedy else asdict(self)

    def draws(self, entropy: Sequence[int]) -> np.random.Generator:
        """Return the random numbers of one text; `entropy` are integers from 0 that differ from text to text."""
        return np.random.default_rng([self.seed, *entropy])


GREEDY = TokenChoice()
"""The likeliest token."""


@dataclass(frozen=True)
class TokenChooser:
    """Chooses the next token of each of several texts that run side by side; `draws` has the random numbers of each."""

    choice: TokenChoice
    draws: Sequence[np.random.Generator]

    def __call__(self, logits: Tensor) -> Tensor:
        """Return ids (texts,) int64 on the device of the logits (texts, vocabulary)."""
        if self.choice.is_greedy:
            return logits.argmax(dim=-1)
        rows = logits.detach().float().cpu().numpy().astype(np.float64)
        ids = [
            drawn_token(row, self.choice.temperature, self.choice.top_p, generator.random())
            for row, generator in zip(rows, self.draws, strict=True)
        ]
        return torch.tensor(ids, dtype=torch.long, device=logits.device)


def drawn_token(logits: np.ndarray, temperature: float, top_p: float, place: float) -> int:
    """Return the token at a place of the cumulative distribution over tokens, the likeliest first.

    Args:
        logits: (vocabulary,) float64.
        temperature: above 0.
        top_p: mass of the tokens that may be drawn, in (0, 1].
        place: in [0, 1); a uniform random number draws a token.
    """
    scaled = (logits - logits.max()) / temperature
    masses = np.exp(scaled)
    order = np.argsort(-masses, kind="stable")
    sums = np.cumsum(masses[order])
    # The fewest tokens whose mass reaches `top_p`; the likeliest is always among them.
    kept = min(int(np.searchsorted(sums, top_p * sums[-1])) + 1, len(sums))
    found = int(np.searchsorted(sums[:kept], place * sums[kept - 1], side="right"))
    return int(order[min(found, kept - 1)])
