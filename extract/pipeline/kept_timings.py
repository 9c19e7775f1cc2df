"""Keep the timings of an extraction beside its stores, for as long as it runs."""

import logging
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vadprobe.extract.model.backbone import Backbone
from vadprobe.extract.model.devices import name_of
from vadprobe.extract.model.pass_shapes import pass_shape
from vadprobe.extract.pipeline.planning import SamplingPlan
from vadprobe.extract.pipeline.timings import Timings
from vadprobe.store.errors import StoreError
from vadprobe.store.writing.timings.run_timings import RunTimings

_LOGGER = logging.getLogger(__name__)


@dataclass
class KeptTimings:
    """The files of one run, one for each sampling that it works on; each is replaced when a partition has ended."""

    timings: Timings
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    begun: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def keep(self, position: int, sampling: SamplingPlan, backbone: Backbone) -> None:
        """Write the timings of a sampling. A failure is logged and does not end the extraction."""
        passes = self.timings.passes_of(position)
        if not passes:
            return
        specs = [writer.spec for writer in sampling.writers]
        found = RunTimings(
            run=self.run,
            begun=self.begun,
            device=name_of(backbone.device),
            dtype=specs[0].backbone.dtype,
            loading=self.timings.spent["loading"],
            digests={spec.prompt.key: spec.digest for spec in specs},
            passes=tuple(passes),
            shape=pass_shape(backbone, specs),
        )
        try:
            found.write(sampling.writers[0].path.parent)
        except (OSError, StoreError) as error:
            _LOGGER.warning("The timings cannot be kept (%s); the features are complete without them.", error)
