"""The settings of stage 2 that a job file holds. Beside each default stands what the paper says."""

from typing import Literal

from pydantic import Field, model_validator

from vadprobe.analyze.probes.settings import HIDDEN, ClassWeight, Convention, ProbeKind, contradiction
from vadprobe.store.settings import Section


class CalibrationConfig(Section):
    """Section `[analysis.calibration]`: the training samples that everything is fitted on."""

    unit: Literal["video", "segment"] = Field(
        default="video", description="both papers: one vector per calibration video, frames sampled over all of it"
    )
    fraction: float = Field(default=0.01, gt=0, le=1, description="both papers: one per cent of the training videos")
    seed: int = Field(default=0, ge=0, description="of the draw of training videos")
    segment_label: Literal["video", "interval"] = Field(
        default="video", description="with unit 'segment': the label of the video, or whether an interval covers it"
    )


HEAD_METRICS = ("lda", "symmetric_kl", "maximum_mean_discrepancy", "cluster_information")
LAYER_METRICS = ("gaussian_kl", "discriminant_ratio", "binned_entropy")


class SaliencyConfig(Section):
    """Section `[analysis.saliency]`: how well every layer or head separates the calibration samples."""

    convention: Literal["paper", "headhunt-code"] = Field(
        default="paper",
        description="how the equations are read: 'headhunt-code' has the constants of that method's public code",
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

    @model_validator(mode="after")
    def _folds_divide(self) -> "SaliencyConfig":
        if self.folds == 1:
            raise ValueError("folds must be 0 (none) or at least 2, got 1: one fold leaves nothing to fit on")
        return self


Rule = Literal[
    "dlsp",
    "layer",
    "middle-layer",
    "last-layer",
    "rhi",
    "heads",
    "random-heads",
    "full-layer",
    "all-heads",
]
"""How layers or heads are chosen; the first four choose a layer, the others heads."""

LAYER_RULES: tuple[Rule, ...] = ("dlsp", "layer", "middle-layer", "last-layer")
RANKING_RULES: tuple[Rule, ...] = ("dlsp", "rhi", "full-layer")


class SelectionConfig(Section):
    """Section `[analysis.selection]`: the layers or heads that feed the probe, by the papers' rules or others.

    "dlsp" the layer of greatest saliency; "layer" the one given; "middle-layer" layer round(L / 2); "last-layer" layer
    L. "rhi" the `top_heads` of greatest robust saliency; "heads" those given; "random-heads" as many drawn by
    `seed`; "full-layer" every head of the block whose best head RHI ranks first; "all-heads" every head there is.
    """

    rule: Rule | None = Field(default=None, description="by default the method's own: 'dlsp' or 'rhi'")
    layer: int | None = Field(default=None, ge=0, description="with rule 'layer': its number, 0 is the embedding")
    heads: tuple[tuple[int, int], ...] = Field(default=(), description="with rule 'heads': [block, head] from 0")
    prompts: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="the prompts that RHI ranks over; by default all of the job"
    )
    seed: int = Field(default=0, ge=0, description="of 'random-heads'")

    @model_validator(mode="after")
    def _parts_fit(self) -> "SelectionConfig":
        if (self.rule == "layer") != (self.layer is not None):
            raise ValueError("rule 'layer' goes with the key 'layer', a number, and no other rule has it")
        if (self.rule == "heads") != bool(self.heads):
            raise ValueError("rule 'heads' goes with the key 'heads', [[block, head], ...], and no other rule has it")
        return self


class ProbeConfig(Section):
    """Section `[analysis.probe]`: the probe on the selected features; both papers fit logistic regression."""

    kind: ProbeKind = Field(default="logistic", description="both papers; the other kinds are for comparison")
    c: float = Field(default=1.0, gt=0, description="inverse regularisation; 'inf' is as the equations are printed")
    max_iterations: int = Field(
        default=1000, ge=1, description="HiProbe: 1000 iterations of L-BFGS; HeadHunt's code: 2000 of liblinear"
    )
    class_weight: ClassWeight | None = Field(
        default=None, description="'balanced': both classes weigh the same, however many samples each has"
    )
    hidden: int = Field(default=HIDDEN, ge=1, description="hidden units of kind 'mlp'")
    seed: int = Field(default=0, ge=0, description="of the first weights of kind 'mlp'; nothing else is random")
    convention: Convention = Field(
        default="paper", description="'headhunt-code': liblinear on unscaled features, as HeadHunt's public code"
    )
    memory_gb: float = Field(
        default=2.0,
        ge=0,
        description="features held in memory for a fit; a logistic fit of more streams over the store",
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> "ProbeConfig":
        refused = contradiction(
            self.kind, C=self.c, class_weight=self.class_weight, hidden=self.hidden, convention=self.convention
        )
        if refused:
            raise ValueError(refused)
        return self


class LocatorConfig(Section):
    """Section `[analysis.locator]`: smoothing of segment scores and the threshold of the binary decision.

    `threshold` "grid": the (sigma, threshold) pair of best frame F1 on the videos of `split`. "adaptive":
    mean plus kappa deviations of the calibration probabilities (HiProbe-VAD). A number: that number.
    """

    split: Literal["validation", "test"] = Field(
        default="validation", description="what the grid sees; 'test' is reported too and needs allow_overlap"
    )

    sigmas: tuple[float, ...] = Field(
        default=(1.5,), min_length=1, description="in segments; HiProbe 0.4, HeadHunt 1.5"
    )
    threshold: Literal["grid", "adaptive"] | float = Field(default=0.65, description="HeadHunt: 0.65")
    kappa: float = Field(default=0.2, description="standard deviations above the mean; the paper prints no value")

    @model_validator(mode="after")
    def _one_sigma_without_grid(self) -> "LocatorConfig":
        if self.threshold != "grid" and len(self.sigmas) > 1:
            raise ValueError("several sigmas can only be tried with threshold = 'grid'")
        if min(self.sigmas) < 0:
            raise ValueError("a sigma must not be negative; 0 means no smoothing")
        return self


class EvaluationConfig(Section):
    """Section `[analysis.evaluation]`: intervals of the reported numbers by a bootstrap over videos."""

    resamples: int = Field(default=1000, ge=0, description="0: no intervals")
    seed: int = Field(default=0, ge=0, description="of the resamples")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="of the intervals")


class AnalysisConfig(Section):
    """Section `[analysis]`: one method on the cached features."""

    preset: str = Field(description="name of the result: 'hiprobe', 'headhunt', or your own")
    method: Literal["hiprobe", "headhunt"] = Field(description="'hiprobe' probes one layer, 'headhunt' a few heads")
    out: str = Field(
        description="folder of the results; {dataset}, {backbone} and {method} in it stand for the job's own names"
    )
    detector: str | None = Field(
        default=None,
        description="a detector.json fitted elsewhere; then nothing is fitted here, videos are only scored",
    )
    score_prompt: str | None = Field(default=None, description="the prompt that feeds the probe; by default the first")
    top_heads: int = Field(default=5, ge=1, description="HeadHunt: five heads")
    instability_weight: float = Field(default=0.5, ge=0, description="HeadHunt: lambda = 0.5")
    seed: int = Field(default=0, ge=0, description="of the two-means clustering, of permutations and folds")
    calibration: CalibrationConfig = CalibrationConfig()
    saliency: SaliencyConfig = SaliencyConfig()
    selection: SelectionConfig = SelectionConfig()
    probe: ProbeConfig = ProbeConfig()
    locator: LocatorConfig = LocatorConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    allow_overlap: bool = Field(
        default=False,
        description="report on videos that something was fitted or tuned on, as papers do; the result is stamped",
    )
    steps: str = Field(
        default="steps", description="folder of the results of steps by digest; jobs of one workspace share it"
    )
    scheduler: str = Field(
        default="processes", description="'processes', 'threads', or the address of a Dask cluster, tcp://host:port"
    )
    workers: int = Field(default=2, ge=0, description="Dask workers of one thread each; 0 computes in this process")
    curves: int = Field(default=6, ge=0, description="videos drawn in the report")

    @property
    def rule(self) -> Rule:
        """The rule of selection, the method's own where none is named."""
        return self.selection.rule or ("dlsp" if self.method == "hiprobe" else "rhi")

    @model_validator(mode="after")
    def _parts_fit(self) -> "AnalysisConfig":
        layers = self.rule in LAYER_RULES
        known = LAYER_METRICS if layers else HEAD_METRICS
        stray = [name for name in self.saliency.metrics or () if name not in known]
        if stray:
            raise ValueError(f"saliency.metrics has {stray[0]!r}; rule {self.rule!r} ranks by {', '.join(known)}")
        if layers != (self.method == "hiprobe"):
            raise ValueError(
                f"method {self.method!r} does not choose by {self.rule!r}; the rules {', '.join(LAYER_RULES)} are of "
                "'hiprobe', the others of 'headhunt'"
            )
        self._check_chance()
        if layers and self.selection.prompts is not None:
            raise ValueError("selection.prompts is of RHI; a layer is chosen under the score prompt alone")
        if layers and self.saliency.convention != "paper":
            raise ValueError("saliency.convention 'headhunt-code' is of heads; layers have the convention 'paper'")
        return self

    def _check_chance(self) -> None:
        """Refuse chance for a rule that ranks nothing, and relabelings of videos with both labels."""
        asked = [name for name in ("permutations", "folds") if getattr(self.saliency, name)]
        if asked and self.rule not in RANKING_RULES:
            raise ValueError(f"saliency.{asked[0]} goes with a rule that ranks; {self.rule!r} ranks nothing")
        calibration = self.calibration
        if self.saliency.permutations and (calibration.unit, calibration.segment_label) == ("segment", "interval"):
            raise ValueError(
                "saliency.permutations relabels whole videos, and with segment_label = 'interval' a video has both "
                "labels; use segment_label = 'video', or folds alone"
            )
