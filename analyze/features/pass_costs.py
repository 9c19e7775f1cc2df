"""Costs of scoring one segment in several ways, from timings and shapes beside the stores; no model is run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vadprobe.analyze.features.inputs import AnalysisInputs
from vadprobe.analyze.saliency.selection import Selection
from vadprobe.store.files.location import StorePath
from vadprobe.store.files.text import counted
from vadprobe.store.writing.timings.pass_shape import PassShape
from vadprobe.store.writing.timings.run_timings import DeviceTimings, PassTimings, read_timings
from vadprobe.store.writing.timings.text_timings import NAME, read_text_timings

TEXT_TOKENS = 64
"""Length in tokens of the text that a pass is compared with."""

NO_TIMINGS = "the extraction kept no timings beside the store; 'vadprobe extract' of this version keeps them"
NO_SHAPES = "the shapes of this backbone's passes are not known"
NOT_TIMED = "no such pass was timed"
NOT_SHALLOW = (
    "no pass that ends there was timed; a [[sampling]] with those heads or layers alone and answers = false, under "
    "another root, makes one"
)
NO_TEXTS = "no text was timed; 'vadprobe describe JOB' does it"
_TERA = 1e12


@dataclass(frozen=True)
class PassCost:
    """Cost of one way to score a segment.

    Attributes:
        key: the way to score: "full", "full-one", "early" or "text".
        name: the way in words, with the device on which seconds were measured.
        seconds: seconds of the model per segment; None if not measured.
        tflop: 10^12 operations per segment, counted from shapes (see `pass_shape`); None if the shapes are unknown.
        reason: sentence on why a value is None.
    """

    key: str
    name: str
    seconds: float | None = None
    tflop: float | None = None
    reason: str = ""

    @property
    def row(self) -> tuple[str, float | None, float | None]:
        """Name, seconds and TFLOP per segment, as a figure draws them."""
        return self.name, self.seconds, self.tflop


def pass_costs(
    inputs: AnalysisInputs, selection: Selection, texts: Path | None = None, others: Sequence[StorePath] = ()
) -> tuple[PassCost, ...]:
    """Return the costs of a segment: by a full pass, by a pass that ends at the deepest chosen block, and by a text.

    Args:
        inputs: the stores; the costs are of the one that is scored.
        selection: the layer or heads that were chosen.
        texts: file of the texts that the backbone wrote about the segments.
        others: folders with stores of the same specification, where passes that end early may have been timed.
    """
    store = inputs.store
    prompt, digest, total = store.spec.prompt.key, store.spec.digest, store.spec.backbone.n_layers
    folders = dict.fromkeys((store.path.parent, *others))
    devices = [device for folder in folders for device in read_timings(folder, prompt, digest)]
    shape = next((device.shape for device in devices if device.shape and prompt in device.shape.own), None)
    known = _Known(prompt, total, tuple(devices), shape)
    return (*known.full(), known.early(deepest_block(selection)), known.text(texts, digest))


def deepest_block(selection: Selection) -> int:
    """Return how many blocks a pass needs for a selection, at least one; layer l is the output of block l - 1."""
    offset = 0 if selection.unit == "layer" else 1
    return max(1, *(int(index[0]) + offset for index in selection.indices))


@dataclass(frozen=True)
class _Known:
    """Timings and shapes of one store."""

    prompt: str
    n_blocks: int
    devices: tuple[DeviceTimings, ...]
    shape: PassShape | None

    def full(self) -> Iterator[PassCost]:
        """Yield the cost of every kind of full pass that was timed, and of a full pass for one prompt in any case."""
        found = sorted(self._timed(self.n_blocks), key=lambda one: len(one[1].prompts))
        for device, passes in found:
            count = len(passes.prompts)
            tflop = self._tflop(passes.prompts, self.n_blocks)
            yield PassCost(
                "full" if count > 1 else "full-one",
                f"full pass, {counted(count, 'prompt')} ({device.device}, {device.dtype})",
                passes.seconds["model"] / passes.clips,
                tflop,
                "" if tflop is not None else NO_SHAPES,
            )
        if not any(len(passes.prompts) == 1 for _, passes in found):
            reason = NOT_TIMED if self.devices else NO_TIMINGS
            yield PassCost("full-one", "full pass, 1 prompt", None, self._tflop((self.prompt,), self.n_blocks), reason)

    def early(self, blocks: int) -> PassCost:
        """Return the cost of a pass that ends after some blocks."""
        name, tflop = f"pass of {blocks} of {self.n_blocks} blocks, 1 prompt", self._tflop((self.prompt,), blocks)
        for device, passes in self._timed(blocks):
            if passes.prompts == (self.prompt,):
                seconds = passes.seconds["model"] / passes.clips
                reason = "" if tflop is not None else NO_SHAPES
                return PassCost("early", f"{name} ({device.device}, {device.dtype})", seconds, tflop, reason)
        return PassCost("early", name, None, tflop, NOT_SHALLOW if self.devices else NO_TIMINGS)

    def text(self, texts: Path | None, digest: str) -> PassCost:
        """Return the cost of writing a text, at the speed of the texts in the file."""
        name = f"text of {TEXT_TOKENS} tokens"
        knows = self.shape is not None and self.prompt in self.shape.own
        tflop = self.shape.text_operations(self.prompt, TEXT_TOKENS) / _TERA if self.shape and knows else None
        times = read_text_timings(texts.with_name(NAME), digest) if texts is not None else None
        seconds = times.seconds(TEXT_TOKENS) if times is not None else None
        if times is None or seconds is None:
            return PassCost("text", name, None, tflop, NO_TEXTS)
        measured = f"{name} ({times.device}, {times.dtype}; at the speed of {counted(times.texts, 'text')})"
        return PassCost("text", measured, seconds, tflop, "" if tflop is not None else NO_SHAPES)

    def _timed(self, blocks: int) -> list[tuple[DeviceTimings, PassTimings]]:
        return [(device, one) for device in self.devices for one in device.passes if one.blocks == blocks]

    def _tflop(self, prompts: Sequence[str], blocks: int) -> float | None:
        if self.shape is None or any(prompt not in self.shape.own for prompt in prompts):
            return None
        return self.shape.operations(prompts, blocks) / _TERA
