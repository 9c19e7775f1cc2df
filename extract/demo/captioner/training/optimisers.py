"""Both optimisers of the captioner: Muon for hidden matrices, AdamW for all other weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vadprobe.extract.demo.captioner.recipe import TrainingRecipe
from vadprobe.extract.demo.captioner.training.muon import Muon
from vadprobe.extract.demo.captioner.training.objective import WordReader


class Optimisers:
    """Optimisers of a model and its reader of words."""

    def __init__(self, model: Any, reader: WordReader, recipe: TrainingRecipe) -> None:
        self._recipe = recipe
        matrices: list[Tensor] = []
        others: list[Tensor] = list(reader.parameters())
        for name, weight in model.named_parameters():
            hidden = weight.ndim == 2 and "embed" not in name and "lm_head" not in name
            (matrices if hidden else others).append(weight)
        self.parameters: list[Tensor] = [*matrices, *others]
        decay = recipe.weight_decay
        self._both: tuple[tuple[torch.optim.Optimizer, float], ...] = (
            (Muon(matrices, lr=0.0, weight_decay=decay), recipe.matrix_learning_rate),
            (torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.98), weight_decay=decay), recipe.learning_rate),
        )

    def step(self, rate: float) -> None:
        """Take a step with both learning rates multiplied by `rate`, then delete the gradients."""
        torch.nn.utils.clip_grad_norm_(self.parameters, self._recipe.largest_gradient)
        for optimiser, largest in self._both:
            for group in optimiser.param_groups:
                group["lr"] = largest * rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        """Return the state that a later run needs to continue."""
        return [optimiser.state_dict() for optimiser, _ in self._both]

    def load_state(self, states: Sequence[dict[str, Any]]) -> None:
        """Load what `state` returned."""
        for (optimiser, _), state in zip(self._both, states, strict=True):
            optimiser.load_state_dict(state)
