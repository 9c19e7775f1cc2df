"""The optimiser of hidden matrices: momentum whose singular values are made equal, in float32."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic whose iteration drives singular values towards 1
_ITERATIONS = 5


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return matrices (count, rows, columns) with the same singular vectors and singular values of about 1."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    result: Tensor = x.mT if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Muon in float32; torch's own computes in bfloat16, which is slow on many CPUs.

    Args:
        parameters: matrices.
        lr: learning rate: about the size of a step in each singular direction.
        momentum: part of the mean gradient that is kept.
        weight_decay: part of a matrix that a step of learning rate 1 would take away.
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step; matrices of one shape are orthogonalised together."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    update = self._update(weight, group["momentum"])
                    by_shape.setdefault(tuple(weight.shape), []).append((weight, update))
            for (rows, columns), pairs in by_shape.items():
                size = group["lr"] * max(1.0, rows / columns) ** 0.5
                directions = orthogonalised(torch.stack([update for _, update in pairs]))
                for (weight, _), direction in zip(pairs, directions, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-size)

    def _update(self, weight: Any, momentum: float) -> Tensor:
        """Return the gradient mixed with its running mean (Nesterov)."""
        state = self.state[weight]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(weight)
        mean: Tensor = state["mean"]
        mean.lerp_(weight.grad, 1 - momentum)
        mixed: Tensor = weight.grad.lerp(mean, momentum)
        return mixed
