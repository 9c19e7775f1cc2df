"""The sections `[analysis.saliency]` and `[analysis.selection]`: metrics of layers and heads, and selection rules."""

from dataclasses import fields
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vadprobe.analyze.saliency.readings import (
    HEADS,
    LAYERS,
    Convention,
    Direction,
    HeadReadings,
    LayerReadings,
    LdaCovariance,
    MmdForm,
    NmiMean,
    covariance_fault,
)
from vadprobe.analyze.saliency.rules import RULES
from vadprobe.store.settings import OpenReading, Section

HEAD_METRICS = ("lda", "symmetric_kl", "maximum_mean_discrepancy", "cluster_information")
LAYER_METRICS = ("gaussian_kl", "discriminant_ratio", "binned_entropy")

Rule = str
"""Name of the rule that chooses layers or heads: one of `saliency.rules.RULES`."""

RANKING_RULES: tuple[Rule, ...] = ("dlsp", "rhi", "full-layer")
"""Rules that rank by the papers' metrics, for which permutations and folds can be computed."""

_LAYER_ZERO = OpenReading(
    "numbers of layers",
    "HiProbe figure 4: layer 0 is the input, 20 the best, 31 the output of 32 blocks",
    "blocks from 0: HiProbe's 20 is our 21, its mid layer 16 our 17",
)
_LAST_LAYER = OpenReading("last layer", '"last layer"', "after the final norm, as transformers' last entry")
_BINS = OpenReading("bins B of the entropy", "HiProbe prints no number", "any; the entropy is at most log2 min(B, N)")
_DIRECTION = OpenReading("direction of the KL divergence", "HiProbe: D(N || A)", "the swapped one, D(A || N)")
_FLOOR = OpenReading("class variances near 0 in it", "nothing", "none, 0: the plain equation, infinite at 0")
_EPSILON = OpenReading("epsilon of the discriminant ratio", "HiProbe: a small constant", "other constants; none, 0")
_COVARIANCE = OpenReading(
    "S_W of LDA", "HeadHunt: within-class scatter", "OAS, a fixed intensity, a pseudo-inverse; the public code's ridge"
)
_MMD = OpenReading("MMD", "HeadHunt defines S_MMD and its square", "the square (the public code)")
_STARTS = OpenReading("starts of k-means", "HeadHunt: K-Means, K = 2", "one start (the public code)")
_NMI = OpenReading(
    "mean in NMI", "HeadHunt: normalised mutual information", "arithmetic (the public code, scikit-learn)"
)
_CONSTANTS = OpenReading(
    "constants of the four metrics of heads", "HeadHunt: equations 3 to 6", "the public code's, all at once"
)


class SaliencyConfig(Section):
    """Section `[analysis.saliency]`: how well every layer or head separates the calibration samples.

    The keys from `entropy_bins` to `ratio_epsilon` apply to layers; those from `lda_covariance` to `nmi_mean` apply to
    heads under the convention "paper".
    """

    convention: Annotated[Convention, _CONSTANTS] = Field(
        default="paper",
        description="how the equations of heads are read: 'headhunt-code' has the constants of its public code",
    )
    metrics: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="the metrics that are ranked; by default the three or four of the paper"
    )
    permutations: int = Field(
        default=0, ge=0, description="relabelings of whole videos for the saliency of chance; 0: none"
    )
    folds: int = Field(
        default=0, ge=0, description="folds of videos for the cross-fitted AUC of every layer or head; 0: none"
    )
    entropy_bins: Annotated[int, _BINS] = Field(
        default=LAYERS.entropy_bins, ge=2, description="bins of equal width over a dimension's range"
    )
    kl_direction: Annotated[Direction, _DIRECTION] = Field(
        default=LAYERS.kl_direction, description="'normal-anomalous' is D(N || A) as printed"
    )
    variance_floor: Annotated[float, _FLOOR] = Field(
        default=LAYERS.variance_floor,
        ge=0,
        lt=1,
        description="least class variance, as a fraction of the dimension's variance over all samples; 0: no floor",
    )
    ratio_epsilon: Annotated[float, _EPSILON] = Field(
        default=LAYERS.ratio_epsilon,
        ge=0,
        allow_inf_nan=False,
        description="added to the variances, in squared units of the features",
    )
    lda_covariance: Annotated[LdaCovariance, _COVARIANCE] = Field(
        default=HEADS.lda_covariance,
        description="covariance of the class-centred samples: how it is shrunk, a fixed intensity above 0 and at most "
        "1, or its pseudo-inverse",
    )
    mmd: Annotated[MmdForm, _MMD] = Field(default=HEADS.mmd, description="the root of the discrepancy, or its square")
    kmeans_starts: Annotated[int, _STARTS] = Field(
        default=HEADS.kmeans_starts, ge=1, description="seeded k-means++ starts; the lowest inertia wins"
    )
    nmi_mean: Annotated[NmiMean, _NMI] = Field(
        default=HEADS.nmi_mean, description="mean of the two entropies, by which mutual information is divided"
    )

    @property
    def of_layers(self) -> LayerReadings:
        """The readings of the metrics of layers."""
        return LayerReadings(**{field.name: getattr(self, field.name) for field in fields(LayerReadings)})

    @property
    def of_heads(self) -> HeadReadings:
        """The readings of the metrics of heads, under the convention "paper"."""
        return HeadReadings(**{field.name: getattr(self, field.name) for field in fields(HeadReadings)})

    def strays(self, *, layers: bool) -> list[str]:
        """Return the keys that differ from their defaults but have no effect on a rule of layers, or of heads."""
        unused, default = (self.of_heads, HEADS) if layers else (self.of_layers, LAYERS)
        return _changed(unused, default)

    @model_validator(mode="after")
    def _parts_fit(self) -> "SaliencyConfig":
        if self.folds == 1:
            raise ValueError("folds must be 0 (none) or at least 2, got 1: one fold leaves nothing to fit on")
        fault = covariance_fault(self.lda_covariance)
        if fault:
            raise ValueError(fault)
        changed = _changed(self.of_heads, HEADS)
        if self.convention == "headhunt-code" and changed:
            raise ValueError(
                f"{changed[0]} is of the convention 'paper'; 'headhunt-code' has constants of its own, so leave it out"
            )
        return self


def _changed(values: LayerReadings | HeadReadings, defaults: LayerReadings | HeadReadings) -> list[str]:
    names = [field.name for field in fields(values)]
    return [name for name in names if getattr(values, name) != getattr(defaults, name)]


class SelectionConfig(Section):
    """Section `[analysis.selection]`: the layers or heads that feed the probe, by the papers' rules or others.

    Rules of layers: "dlsp" takes the layer of greatest saliency, "layer" the one given, "middle-layer" layer
    round(L / 2), "last-layer" layer L. Rules of heads: "rhi" takes the `top_heads` of greatest robust saliency, "heads"
    those given, "random-heads" as many drawn by `seed`, "last-block" every head of the last block (HeadHunt-VAD's "full
    layer features"), "full-layer" every head of the block whose best head RHI ranks first, "all-heads" every head.
    "fisher" takes the `top_heads` of greatest Fisher ratio under the score prompt (SteerVAD), "fisher-layer" the layer.
    Another package may add rules.
    """

    rule: Rule | None = Field(
        default=None, description="rule that chooses; by default the method's: 'dlsp', 'rhi' or 'middle-layer'"
    )
    layer: int | None = Field(
        default=None, ge=0, description="with rule 'layer': its number; layer_zero says which layer is 0"
    )
    layer_zero: Annotated[Literal["embedding", "first-block"], _LAYER_ZERO] = Field(
        default="embedding",
        description="which layer is 0, for the rules 'layer' and 'middle-layer': the embedding, so that layer l is the "
        "output of block l - 1; or the output of the first block, as HiProbe most likely numbers them",
    )
    last_layer: Annotated[Literal["before-norm", "after-norm"], _LAST_LAYER] = Field(
        default="before-norm", description="the last block's output before the final norm, which is what stores hold"
    )
    heads: tuple[tuple[int, int], ...] = Field(default=(), description="with rule 'heads': [block, head] from 0")
    prompts: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="the prompts that RHI ranks over; by default all of the job"
    )
    seed: int = Field(default=0, ge=0, description="seed of the rule 'random-heads'")

    @model_validator(mode="after")
    def _parts_fit(self) -> "SelectionConfig":
        if self.rule is not None and self.rule not in RULES.names:
            known = ", ".join(f"'{name}'" for name in RULES.names)
            raise ValueError(f"rule must be one of {known}, got {self.rule!r}")
        if (self.rule == "layer") != (self.layer is not None):
            raise ValueError("rule 'layer' goes with the key 'layer', a number, and no other rule has it")
        if (self.rule == "heads") != bool(self.heads):
            raise ValueError("rule 'heads' goes with the key 'heads', [[block, head], ...], and no other rule has it")
        if self.last_layer != "before-norm":
            raise ValueError(
                "last_layer 'after-norm' needs the hidden state after the final norm (transformers' last entry of "
                "hidden_states), and stores hold the last block's output before it; that state must be extracted "
                "first, so leave the key out"
            )
        return self
