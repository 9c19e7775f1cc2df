"""The command detect."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vadprobe.flows.commands.detection.streams import StreamOptions
from vadprobe.flows.commands.options import OptionalPositive, OptionalWhole, print_json
from vadprobe.flows.jobs.progress import open_bar


def detect(
    first: Annotated[str, Parameter(name="VIDEO", allow_leading_hyphen=True)],
    /,
    *others: Annotated[str, Parameter(allow_leading_hyphen=True)],
    detector: Path,
    out: Path = Path("detection"),
    backbone: str | None = None,
    device: str = "auto",
    threads: OptionalPositive = None,
    look_ahead: OptionalWhole = None,
    stay_above: float | None = None,
    batch: OptionalPositive = None,
    overwrite: bool = False,
    explain: bool = False,
    films: bool = False,
    scored_video: bool = False,
    padding: float = 2.0,
    json: bool = False,
    streams: StreamOptions = StreamOptions(),
) -> int:
    """Detect anomalous events in videos, in one pass that ends after the deepest block the detector reads.

    Writes scores.jsonl and events.jsonl line by line as scores become final and events close, the curve of each video
    below pictures/ when it ends, and at the end events.csv and summary.json. A segment has as many frames as the
    detector's, at any frame rate. An interrupted run writes all of these for what it has found; a killed run leaves
    whole lines. A folder that holds results is refused, unless --overwrite is given. Exit code 3 if a video or a
    segment could not be read (the others are done), 130 if interrupted.

    Example: vadprobe detect rtsp://camera/stream --detector detector.json --look-ahead 0

    Args:
        first: video file, a folder of them, a URL (rtsp, http, ...), or - for standard input
        others: more of them; the model is loaded once
        detector: detector.json, from 'vadprobe analyze' or 'vadprobe detector build'
        out: folder of the results
        backbone: checkpoint folder or hub id, in place of the one that the detector names
        device: 'auto' takes a GPU when there is one; else 'cpu', 'cuda:1', ...
        threads: CPU threads of the model; by default all cores but one
        look_ahead: later segments that a smoothed score waits for; 0 is causal. By default the reach of the smoothing:
            scores and events are then those of 'vadprobe analyze'
        stay_above: an event goes on while the smoothed score is above this (hysteresis); by default the threshold
        batch: segments per pass; by default as in the extraction of the features, at most 8
        overwrite: replace the results of an earlier detection in the folder
        explain: let the backbone say what happens in each event: of a file at its end, of a stream when the event has
            closed and no segment waits; the texts are generated
        films: at the end, cut an mp4 of each event from the video files
        scored_video: at the end, write an mp4 of each video file with its score below the frames
        padding: seconds before and after an event in its film
        json: print the summary as JSON, for programs: the content of summary.json
        streams: options of streams
    """
    from vadprobe.detect.detector import Detector
    from vadprobe.detect.pictures.drawing import PictureOptions
    from vadprobe.detect.results.files import earlier_files
    from vadprobe.detect.run import detect_in, targets_in
    from vadprobe.detect.stream import DetectionOptions
    from vadprobe.flows.commands.detection.reporting import TerminalReport

    earlier_files(out, overwrite=overwrite)  # refused before the model is loaded
    options = DetectionOptions(look_ahead, stay_above, batch)
    pictures = PictureOptions(films, scored_video, padding)
    with (
        Detector.load(detector, backbone=backbone, device=device, threads=threads) as loaded,
        open_bar("detecting", "segment", None) as bar,
    ):
        targets = targets_in((first, *others), streams.of_sources(loaded.fitted.features.sampling.clip_length or 1))
        report = TerminalReport(bar, out, loaded.fitted.locator.threshold, pictures, silent=json)
        summary = detect_in(loaded, targets, out, options, overwrite=overwrite, explain=explain, listener=report)
    if json:
        print_json(summary.to_json())
    else:
        print("\n".join([*summary.lines(), f"Results: {out}"]))
    if summary.interrupted:
        if not json:
            print("Interrupted: what was found until then is there; another run needs another --out, or --overwrite.")
        return 130
    return 0 if summary.is_whole else 3
