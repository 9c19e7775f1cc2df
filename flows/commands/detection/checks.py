"""Checks of a detection that need neither torch nor the checkpoint, so that wrong input is said at once."""

from collections.abc import Sequence
from pathlib import Path

from vadprobe.detect.backbone.finding import backbone_config, folder_of, read_detector
from vadprobe.detect.online.events import Hysteresis
from vadprobe.detect.online.smoothing import OnlineSmoother
from vadprobe.detect.results.folder import check_folder
from vadprobe.detect.sources.opening import open_sources
from vadprobe.flows.commands.detection.streams import StreamOptions


def check_request(
    videos: Sequence[str],
    streams: StreamOptions,
    detector: Path,
    backbone: str | None,
    out: Path,
    look_ahead: int | None,
    stay_above: float | None,
    overwrite: bool,
) -> None:
    """Check the videos, the detector's file, the place of its backbone, the locator's options and the results' folder.

    Args:
        videos: files, folders, URLs or `-`; the other arguments are those of the command.

    Raises:
        VadprobeError: naming the first that is wrong.
    """
    open_sources(videos, streams.of_sources(1))  # checks them all; opens none
    fitted = read_detector(detector)
    folder_of(backbone_config(fitted, backbone).path, detector.parent, fitted, is_given=backbone is not None)
    OnlineSmoother(fitted.locator, look_ahead)
    threshold = fitted.locator.threshold
    Hysteresis(threshold, threshold if stay_above is None else stay_above)
    check_folder(out, overwrite=overwrite)
