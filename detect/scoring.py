"""Raw scores of segments: one pass up to the deepest chosen block, and the probe on what was captured there."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from vadprobe.analyze.detector.detector import Detector
from vadprobe.detect.backbone.matching import MatchedBackbone
from vadprobe.detect.segments import Segment
from vadprobe.extract.model.backbone import load
from vadprobe.extract.model.chosen_parts import ChosenParts
from vadprobe.extract.model.forward import Forward
from vadprobe.store.errors import VadprobeError


@dataclass
class SegmentScorer:
    """Scores segments with a detector and its backbone, whose weights are loaded at the first use."""

    detector: Detector
    matched: MatchedBackbone

    @cached_property
    def forward(self) -> Forward:
        """Passes of the model."""
        extraction = self.matched.extraction
        return Forward(load(self.matched.description, extraction.device, extraction.threads))

    @cached_property
    def chosen(self) -> ChosenParts:
        """Layers or heads that the probe reads."""
        selection = self.detector.selection
        return ChosenParts(selection.unit, selection.indices)

    def score(self, segments: Sequence[Segment]) -> np.ndarray:
        """Return the probe's score of each segment, (n,) float64; NaN where there are no frames.

        Raises:
            VadprobeError: if the memory does not suffice, or a feature is not finite.
        """
        scores = np.full(len(segments), np.nan)
        readable = [place for place, segment in enumerate(segments) if segment.frames is not None]
        if readable:
            frames = [segments[place].frames for place in readable]
            seconds = [segments[place].seconds for place in readable]
            try:
                features = self.forward.chosen(frames, seconds, self.matched.spec, self.chosen)
            except torch.OutOfMemoryError as error:
                raise VadprobeError(
                    f"the device does not have enough memory for {len(readable)} segments at once; give a "
                    "smaller --batch."
                ) from error
            scores[readable] = self.detector.probe.score(features.to("cpu", torch.float32).numpy())
        return scores
