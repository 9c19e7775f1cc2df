"""The flow `detect-anomalies`: events in the videos of a folder, which may grow."""

import vadprobe.flows.deployments.defaults  # noqa: F401 - before prefect is imported

# isort: split
from pathlib import Path

from prefect import State, flow

from vadprobe.flows.procedures.parameters import DetectionSettings, DetectorFile, Folder, Seconds
from vadprobe.flows.procedures.steps.detection import (
    batches,
    detect_task,
    label_detection,
    open_folder,
    publish_task,
)
from vadprobe.flows.runs.endings import ending_of
from vadprobe.flows.runs.faults import stop_if_suspended
from vadprobe.flows.runs.logs import log_of_run
from vadprobe.store.files.text import counted

AS_THE_DETECTOR = DetectionSettings()


@flow(name="detect-anomalies", flow_run_name="{videos}", persist_result=False)
def detect_anomalies(
    videos: Folder,
    detector: DetectorFile,
    out: str | None = None,
    settings: DetectionSettings = AS_THE_DETECTOR,
    watch_seconds: Seconds = None,
    strict: bool = False,
) -> State[str]:
    """Detect events in the videos of a folder; those that an earlier run has looked at are not computed again.

    Args:
        videos: folder of videos on the worker's machine; the videos in its subfolders are looked at too.
        detector: file of the detector there, detector.json.
        out: folder of the results; none: beside the videos, called as their folder with '-detected' behind it.
        settings: settings of this run, in place of those of the detector.
        watch_seconds: then look for new videos, until none has come for so long; none: not at all.
        strict: fail if a video cannot be read; what was found stays.

    Returns:
        The state that the run ends in, with the summary in sentences.
    """
    with log_of_run(), open_folder(videos, detector, out, settings) as folder:
        label_detection(folder)
        computed: list[Path] = []
        for batch in batches(folder, watch_seconds):
            stop_if_suspended()
            detect_task(folder, batch)
            computed += batch
        lines = publish_task(folder, computed)
        unreadable = len(folder.unreadable())
    return ending_of(lines, counted(unreadable, "video") if unreadable else "", strict)
