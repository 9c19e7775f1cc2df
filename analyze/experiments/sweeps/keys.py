"""Keys of a sweep by short names, some of them the papers' symbols, with the settings that each changes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pydantic import ValidationError

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.analyze.experiments.cases import ExperimentJob, chosen_by, varied
from vadprobe.analyze.experiments.sweeps.samplings import stored_segments
from vadprobe.analyze.experiments.sweeps.values import Value, numbers, prompt_set, subsets, whole_numbers
from vadprobe.analyze.locator.settings import LOCATORS
from vadprobe.store.errors import VadprobeError
from vadprobe.store.format.specification import BackboneSpec


@dataclass(frozen=True)
class Variation:
    """Settings of one cell: the analysis, the frames of a scored segment, and the number of them that are seen."""

    config: AnalysisConfig
    clip_length: int
    frames: int


@dataclass(frozen=True, eq=False)
class SweepKey:
    """A setting that can be swept.

    `read` turns one word into values; `words` has words that stand for all possible values. `own` returns the job's
    value, None if it has no single one. `misfit` returns why the key has no effect on a job, "" if it has one.
    """

    name: str
    about: str
    kind: type[int] | type[float] | type[str]
    read: Callable[[ExperimentJob, str], Sequence[Value]]
    change: Callable[[Variation, Any], Variation]
    own: Callable[[ExperimentJob], Value | None]
    misfit: Callable[[AnalysisConfig], str] = lambda config: ""
    words: Mapping[str, Callable[[ExperimentJob], Sequence[Value]]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    def values(self, case: ExperimentJob, words: Sequence[str]) -> list[Value]:
        """Return the values of some words, each once, in their order.

        Raises:
            VadprobeError: if a word is no value, or a value does not fit the job or its backbone.
        """
        found = [value for word in words for value in (self.words[word](case) if word in self.words else
                                                       self.read(case, word))]  # fmt: skip
        return list(dict.fromkeys(found))

    def changed(self, variation: Variation, value: Value) -> Variation:
        """Return a variation changed to a value of this key.

        Raises:
            VadprobeError: if the settings refuse it.
        """
        try:
            return self.change(variation, value)
        except ValidationError as error:
            said = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
            raise VadprobeError(f"{self.name} cannot be {value}: {said}.") from error


def own_variation(case: ExperimentJob) -> Variation:
    """Return the job's own settings without permutations and folds, which no number of a sweep uses."""
    config = varied(case.config, saliency={"permutations": 0, "folds": 0})
    return Variation(config, case.segment.clip_length or 0, case.segment.frames_per_clip)


def backbone_of(case: ExperimentJob) -> BackboneSpec:
    """Return the backbone of the job's features.

    Raises:
        VadprobeError: if the job has no features.
    """
    return case.inputs(case.config).store.spec.backbone


def _config(variation: Variation, **changes: Any) -> Variation:
    return replace(variation, config=varied(variation.config, **changes))


def _one_sigma(config: AnalysisConfig) -> tuple[float, ...]:
    """Return the job's single sigma, or the paper's if the job has several, since a fixed threshold needs one sigma."""
    sigmas = config.locator.sigmas
    return sigmas if len(sigmas) == 1 else tuple(LOCATORS[config.method]["sigmas"])


def _threshold(variation: Variation, tau: float) -> Variation:
    return _config(variation, locator={"threshold": tau, "sigmas": _one_sigma(variation.config)})


def _kappa(variation: Variation, kappa: float) -> Variation:
    locator = {"threshold": "adaptive", "kappa": kappa, "sigmas": _one_sigma(variation.config)}
    return _config(variation, locator=locator)


def _own_sigma(case: ExperimentJob) -> float | None:
    sigmas = case.config.locator.sigmas
    return sigmas[0] if len(sigmas) == 1 else None


def _own_tau(case: ExperimentJob) -> float | None:
    threshold = case.config.locator.threshold
    return None if isinstance(threshold, str) else float(threshold)


def _only(rules: Sequence[str], what: str) -> Callable[[AnalysisConfig], str]:
    """Return the `misfit` of a key that has an effect only under some selection rules."""
    return lambda config: (
        "" if config.rule in rules else f"it is of jobs that {what}, this one chooses by {config.rule}"
    )


def _n_heads(case: ExperimentJob) -> int:
    return len(backbone_of(case).heads)


def _n_layers(case: ExperimentJob) -> int:
    return backbone_of(case).n_layers


def _lengths(case: ExperimentJob) -> list[Value]:
    """Return the clip lengths that have features with the job's number of frames per clip."""
    frames = case.segment.frames_per_clip
    return [found.clip_length or 0 for found in stored_segments(case) if found.frames_per_clip == frames]


def _frames(case: ExperimentJob) -> list[Value]:
    """Return the numbers of frames per clip that have features with the job's clip length."""
    length = case.segment.clip_length
    return [found.frames_per_clip for found in stored_segments(case) if found.clip_length == length]


def _read_whole(key: str, least: int, most: Callable[[ExperimentJob], int | None]) -> Callable[..., Sequence[Value]]:
    return lambda case, word: whole_numbers(key, word, least, most(case))


def _read_number(key: str, least: float | None = None, most: float | None = None) -> Callable[..., Sequence[Value]]:
    return lambda case, word: numbers(key, word, least, most)


def _read_prompts(key: str, case: ExperimentJob, word: str) -> list[Value]:
    found = prompt_set(key, word, case.prompts)
    if key == "score-prompt" and "+" in found:
        raise VadprobeError(f"score-prompt must be one prompt, got {word!r}; 'prompts' sweeps sets of them.")
    return [found]


_RANKED = _only(("rhi", "full-layer"), "rank heads over prompts (rules 'rhi' and 'full-layer')")
_COUNTED = _only(("rhi", "random-heads"), "choose a number of heads (rules 'rhi' and 'random-heads')")

_ALL = (
    SweepKey(
        "top-heads", "K, the number of heads", int, _read_whole("top-heads", 1, _n_heads),
        lambda variation, value: _config(variation, top_heads=value), lambda case: case.config.top_heads,
        _COUNTED, aliases=("k", "K"),
    ),
    SweepKey(
        "lambda", "weight of a head's instability over prompts", float, _read_number("lambda", 0),
        lambda variation, value: _config(variation, instability_weight=value),
        lambda case: case.config.instability_weight, _RANKED, aliases=("instability-weight",),
    ),
    SweepKey(
        "prompts", "prompts that heads are ranked over, joined by '+'; or 'each', 'all', 'subsets'", str,
        partial(_read_prompts, "prompts"),
        lambda variation, value: _config(variation, selection={"prompts": tuple(value.split("+"))}),
        lambda case: "+".join(key for key in case.prompts if key in (case.config.selection.prompts or case.prompts)),
        _RANKED,
        {"each": lambda case: case.prompts, "all": lambda case: ["+".join(case.prompts)],
         "subsets": lambda case: subsets(case.prompts)},
    ),
    SweepKey(
        "score-prompt", "the prompt that feeds the probe; or 'each'", str, partial(_read_prompts, "score-prompt"),
        lambda variation, value: _config(variation, score_prompt=value), lambda case: case.score_prompt,
        words={"each": lambda case: case.prompts},
    ),
    SweepKey(
        "layer", "the layer, in place of the one that is chosen; or 'all', from 1", int,
        _read_whole("layer", 0, _n_layers),
        lambda variation, value: _config(variation, selection={**chosen_by("layer"), "layer": value}),
        lambda case: case.config.selection.layer,
        lambda config: "" if config.chooses_layers else "it is of jobs of method 'hiprobe', this one probes heads",
        {"all": lambda case: range(1, _n_layers(case) + 1)},
    ),
    SweepKey(
        "fraction", "fraction of the training videos in a draw", float, _read_number("fraction", 0, 1),
        lambda variation, value: _config(variation, calibration={"fraction": value}),
        lambda case: case.config.calibration.fraction,
    ),
    SweepKey(
        "sigma", "smoothing of scores, in segments", float, _read_number("sigma", 0),
        lambda variation, value: _config(variation, locator={"sigmas": (value,)}), _own_sigma,
    ),
    SweepKey(
        "tau", "fixed threshold of the decision", float, _read_number("tau", 0, 1), _threshold, _own_tau,
        aliases=("threshold",),
    ),
    SweepKey(
        "kappa", "deviations above the mean in the adaptive threshold", float, _read_number("kappa"), _kappa,
        lambda case: case.config.locator.kappa if case.config.locator.threshold == "adaptive" else None,
    ),
    SweepKey(
        "clip-length", "frames of a segment, where features are stored; or 'all'", int,
        _read_whole("clip-length", 1, lambda case: None),
        lambda variation, value: replace(variation, clip_length=value), lambda case: case.segment.clip_length,
        words={"all": _lengths},
    ),
    SweepKey(
        "frames", "frames of a segment that the backbone sees, where features are stored; or 'all'", int,
        _read_whole("frames", 1, lambda case: None),
        lambda variation, value: replace(variation, frames=value), lambda case: case.segment.frames_per_clip,
        words={"all": _frames},
    ),
)  # fmt: skip

KEYS: Mapping[str, SweepKey] = {key.name: key for key in _ALL}
"""Every key by name, in the order in which a cell with several keys applies them."""
