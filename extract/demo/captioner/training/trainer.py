"""The captioner in training: its weights, its optimisers, its steps, and the file from which training continues."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import Tensor

from vadprobe.extract.demo.captioner.recipe import Recipe, first_difference
from vadprobe.extract.demo.captioner.training.architecture import captioner, new_model
from vadprobe.extract.demo.captioner.training.batches import Batch, Packer
from vadprobe.extract.demo.captioner.training.objective import WordReader, losses_of
from vadprobe.extract.demo.captioner.training.optimisers import Optimisers
from vadprobe.extract.demo.captioner.training.schedule import HALVES, Schedule
from vadprobe.extract.demo.captioner.vocabulary import captioner_tokenizer
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import write_bytes

AddGradients = Callable[[list[Tensor]], None]
"""Replaces gradients, in place, by their sums over all processes."""


class Trainer:
    """Model, reader of words and optimisers of a recipe, and the number of steps taken.

    Attributes:
        step: number of steps taken.
        log: losses on held-out clips, one entry for each evaluation.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.tiny = captioner(captioner_tokenizer(recipe.vocabulary))
        self.packer = Packer(self.tiny.tokenizer)
        self.model = new_model(self.tiny, recipe.seed)
        self.reader = WordReader(self.tiny.config.text_config.hidden_size)
        self.optimisers = Optimisers(self.model, self.reader, recipe.training)
        self.step = 0
        self.log: list[dict[str, float]] = []

    def take_step(self, schedule: Schedule, halves: range = range(HALVES), add: AddGradients | None = None) -> float:
        """Take one step, and return the mean loss over the halves computed here.

        Args:
            schedule: clips and learning rates of the steps.
            halves: the halves to compute in this process.
            add: adds the gradients of the other process; None where this process computes both halves.
        """
        loss = 0.0
        for half in halves:
            part = self._loss(self._batch(schedule, half)) / HALVES
            part.backward()  # type: ignore[no-untyped-call]
            loss += float(part.detach()) * HALVES / len(halves)
        # In the first steps the text model has no gradient, in any process.
        gradients = [weight.grad for weight in self.optimisers.parameters if weight.grad is not None]
        if add is not None:
            add(gradients)
        self.optimisers.step(schedule.rate(self.step))
        self.step += 1
        return loss

    def _batch(self, schedule: Schedule, half: int) -> Batch:
        rng = schedule.generator(self.step, half)
        instructions = self.recipe.training.instructions if self._learns_captions else 1
        return self.packer.pack(schedule.clips(self.step, half), rng, instructions)

    @property
    def _learns_captions(self) -> bool:
        return self.step >= self.recipe.training.vision_steps

    def _loss(self, batch: Batch) -> Tensor:
        training = self.recipe.training
        losses = losses_of(
            self.model, self.reader, batch, training.first_token_weight, self._learns_captions, training.places_weight
        )
        if losses.caption is None:
            return losses.words
        return losses.caption + training.words_weight * losses.words

    def save(self, path: Path) -> None:
        """Write the state that a later run needs to continue."""
        buffer = io.BytesIO()
        torch.save(
            {
                "recipe": self.recipe.as_json(),
                "step": self.step,
                "log": self.log,
                "model": self.model.state_dict(),
                "reader": self.reader.state_dict(),
                "optimisers": self.optimisers.state(),
            },
            buffer,
        )
        write_bytes(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Load a file that `save` wrote; without such a file, begin at the first step.

        Raises:
            VadprobeError: if the file cannot be read, or belongs to another recipe.
        """
        if not path.exists():
            return
        if not is_zipfile(path):  # a file that is cut lacks the directory at its end
            raise VadprobeError(
                f"{path} must be a training state, but is another file, or damaged; remove "
                "it to start the training again."
            )
        state: Mapping[str, Any] = torch.load(path, weights_only=True)
        different = first_difference(self.recipe.as_json(), state["recipe"])
        if different:
            raise VadprobeError(f"{path} belongs to another recipe: {different}. Use another folder, or remove it.")
        self.step, self.log = int(state["step"]), list(state["log"])
        self.model.load_state_dict(state["model"])
        self.reader.load_state_dict(state["reader"])
        self.optimisers.load_state(state["optimisers"])
