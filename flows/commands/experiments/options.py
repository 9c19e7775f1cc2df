"""Options that the commands of experiments share."""

from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from vadprobe.store.errors import VadprobeError


@Parameter(name="*")
@dataclass(frozen=True)
class ExperimentOptions:
    """Options that every command of an experiment has."""

    fraction: float | None = None
    """fraction of the training videos in a draw, in place of the job's"""
    out: Path | None = None
    """folder of the results; default: below those of the first job"""

    def __post_init__(self) -> None:
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise VadprobeError(f"--fraction must be above 0 and at most 1, got {self.fraction}.")
