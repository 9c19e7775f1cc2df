"""Inputs of stage 2: ground truth and stores, opened and checked against each other before any computation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from vadprobe.analyze.configuration import AnalysisConfig
from vadprobe.store.datasets.dataset import Dataset
from vadprobe.store.datasets.probed_videos import VideoFacts
from vadprobe.store.errors import StoreError, VadprobeError
from vadprobe.store.files.digests import digest_json
from vadprobe.store.files.location import StorePath
from vadprobe.store.format.layout import DatasetLayout
from vadprobe.store.format.sampling import Sampling
from vadprobe.store.reading.feature_store import FeatureStore


@dataclass(frozen=True, eq=False)
class AnalysisInputs:
    """Ground truth and open stores by prompt key.

    Attributes:
        truth: videos with their splits, labels and intervals.
        probed: facts of the video files.
        segments: stores whose rows are scored.
        calibration: stores that are fitted on (for unit "segment" the scored ones); empty with a finished detector.
        score_prompt: key of the prompt that feeds the probe.
        ranked_prompts: keys of the prompts over which heads are ranked, in the job's order.
        prompts: keys of all prompts of the job, in its order.
        open_segments: opens the store of a prompt's segments, which may be missing.
    """

    truth: Dataset
    probed: tuple[VideoFacts, ...]
    segments: Mapping[str, FeatureStore]
    calibration: Mapping[str, FeatureStore]
    score_prompt: str
    ranked_prompts: tuple[str, ...]
    prompts: tuple[str, ...]
    open_segments: Callable[[str], FeatureStore]

    @property
    def store(self) -> FeatureStore:
        """The store whose segments are scored."""
        return self.segments[self.score_prompt]

    @property
    def calibration_store(self) -> FeatureStore:
        """The store of the score prompt that is fitted on."""
        return self.calibration[self.score_prompt]

    @property
    def feature_digest(self) -> str:
        """Digest of the specifications of every store used."""
        stores = {**self.segments, **{f"calibration {key}": store for key, store in self.calibration.items()}}
        return digest_json({key: store.spec.digest for key, store in stores.items()})

    def rows_to_score(self) -> np.ndarray:
        """Return the rows of the validation and test videos, ascending.

        With a finished detector (no calibration stores) nothing is fitted on validation videos, so those that a pulled
        part of a store lacks are left out. Test videos are never left out: reading their missing rows is an error.
        """
        validation = self.rows_of_split("validation")
        if not self.calibration:
            validation = validation[self.store.stored[validation]]
        return np.sort(np.concatenate([validation, self.rows_of_split("test")]))

    def rows_of_split(self, split: str) -> np.ndarray:
        """Return the rows of the scored store that belong to a split, ascending."""
        return self.store.clips.rows_of(video.video_id for video in self.truth.videos if video.split == split)


def open_inputs(
    config: AnalysisConfig,
    truth: Dataset,
    probed: Sequence[VideoFacts],
    layout: DatasetLayout,
    samplings: Sequence[Sampling],
    backbone: str,
    prompts: Sequence[str],
    open_store: Callable[[StorePath], FeatureStore] = FeatureStore.open,
) -> AnalysisInputs:
    """Open the stores an analysis needs.

    With a finished detector only the score prompt's segments are opened; those of other prompts are opened on demand.

    Args:
        config: the analysis.
        truth: the dataset with its ground truth.
        probed: facts of the video files.
        layout: paths of the dataset's stores.
        samplings: samplings of the job; the first of each unit is used.
        backbone: key of the backbone.
        prompts: keys of the job's prompts, in order.
        open_store: opens a store by its path; a caller that often opens the same stores passes a function that keeps
            them.

    Raises:
        StoreError: if a store is missing, unfinished or damaged.
        VadprobeError: if the prompts' stores do not have the same rows, a prompt that is ranked is unknown, or there is
            no sampling of the unit that is scored or calibrated on.
    """
    score_prompt = config.score_prompt or prompts[0]
    scored = _of_unit(samplings, "segment")
    needed = _needed_prompts(config, score_prompt, prompts)
    open_segments = partial(_opened, open_store, layout, scored, backbone)
    segments = {score_prompt: open_segments(score_prompt)}
    calibration: dict[str, FeatureStore] = {}
    if config.detector is None:
        fitted = _of_unit(samplings, config.calibration.unit)
        calibration = {key: _to_fit_on(open_store, layout.store(fitted, backbone, key)) for key in needed}
        if len({store.spec.clips_digest for store in calibration.values()}) > 1:
            raise VadprobeError(
                f"the stores of the prompts {', '.join(calibration)} were written for different clip tables; "
                "extract all prompts of one dataset and sampling together."
            )
    for store in (*segments.values(), *calibration.values()):
        store.check_finished()
    asked = config.selection.prompts
    ranked = tuple(key for key in calibration if asked is None or key in asked)
    return AnalysisInputs(
        truth, tuple(probed), segments, calibration, score_prompt, ranked, tuple(prompts), open_segments
    )


def _opened(
    open_store: Callable[[StorePath], FeatureStore],
    layout: DatasetLayout,
    sampling: Sampling,
    backbone: str,
    prompt: str,
) -> FeatureStore:
    return open_store(layout.store(sampling, backbone, prompt))


def _to_fit_on(open_store: Callable[[StorePath], FeatureStore], path: StorePath) -> FeatureStore:
    """Open a store of calibration rows; an error says that only fitting needs it."""
    try:
        return open_store(path)
    except StoreError as error:
        raise StoreError(
            f"{error} If the store holds only test videos, as after 'vadprobe pull --detector', set "
            "analysis.detector to the detector's file; then nothing is fitted."
        ) from error


def _of_unit(samplings: Sequence[Sampling], unit: str) -> Sampling:
    """Return the first sampling of a unit."""
    found = next((sampling for sampling in samplings if sampling.unit == unit), None)
    if found is None:
        raise VadprobeError(
            f"no [[sampling]] of the job has unit {unit!r}; the job scores segments and fits on "
            "analysis.calibration.unit. Add such a sampling, or change calibration.unit."
        )
    return found


def _needed_prompts(config: AnalysisConfig, score_prompt: str, prompts: Sequence[str]) -> list[str]:
    """Return the prompts whose features are fitted on: the score prompt, and those that heads are ranked over."""
    ranked = config.selection.prompts or ()
    unknown = [key for key in ranked if key not in prompts]
    if unknown:
        raise VadprobeError(
            f"selection.prompts has {unknown[0]!r}, but the prompts of the job are {', '.join(prompts)}."
        )
    if config.detector is not None or config.rule not in ("rhi", "full-layer"):
        return [score_prompt]
    return [key for key in prompts if key in (ranked or prompts) or key == score_prompt]
