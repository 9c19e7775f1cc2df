"""The command detect."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vadprobe.flows.commands.options import OptionalPositive, OptionalWhole
from vadprobe.flows.jobs.progress import open_bar, say

if TYPE_CHECKING:
    from vadprobe.detect.detector import Detector
    from vadprobe.detect.online.events import Event
    from vadprobe.detect.pictures.drawing import PictureOptions
    from vadprobe.detect.run import Target


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
    follow: bool = False,
    watch: bool = False,
    overwrite: bool = False,
    explain: bool = False,
    films: bool = False,
    scored_video: bool = False,
    padding: float = 2.0,
) -> int:
    """Detect anomalous events in videos, in one pass that ends behind the deepest block the detector reads.

    Writes scores.jsonl and events.jsonl line by line as scores become final and events close; at the end events.csv,
    summary.json, and the curve of each video below pictures/. An interrupted run leaves whole lines, the table and
    the summary of what was found. Exit code 3 if a video or a segment could not be read: the others are done.

    Args:
        first: video file, a folder of them, a URL (rtsp, http, ...), or - for standard input
        others: more of them; the model is loaded once
        detector: detector.json, from 'vadprobe detector build'
        out: folder of the results
        backbone: checkpoint folder or hub id, in place of the one that the detector names
        device: 'auto' takes a GPU when there is one; else 'cpu', 'cuda:1', ...
        threads: CPU threads of the model; by default all cores but one
        look_ahead: segments that a smoothed score waits for: 0 is causal, the kernel's radius offline; by default the
            radius, and scores and events are those of 'vadprobe analyze'
        stay_above: an event goes on while the smoothed score is above this (hysteresis); by default the threshold
        batch: segments per pass; by default that of the features, at most 8
        follow: read on in a file that still grows
        watch: go on looking for new files in the folder that is named last
        overwrite: replace the results of an earlier detection in the folder
        explain: then let the backbone say what happens in each event of a video file; the texts are generated
        films: then cut an mp4 of each event from the video files
        scored_video: then write an mp4 of each video file with its score below the frames
        padding: seconds before and after an event in its film
    """
    from vadprobe.detect.detector import Detector
    from vadprobe.detect.online.events import Event
    from vadprobe.detect.pictures.drawing import PictureOptions
    from vadprobe.detect.run import about_detection, detect_in, targets_in
    from vadprobe.detect.sources.options import SourceOptions
    from vadprobe.detect.stream import DetectionOptions, ScoredSegment

    options = DetectionOptions(look_ahead, stay_above, batch)
    pictures = PictureOptions(films, scored_video, padding)
    files: dict[str, Path | None] = {}
    events: list[Event] = []
    with (
        Detector.load(detector, backbone=backbone, device=device, threads=threads) as loaded,
        open_bar("detecting", "segment", None) as bar,
    ):
        frames = loaded.fitted.features.sampling.clip_length or 1
        targets = targets_in((first, *others), SourceOptions(segment_frames=frames, follow=follow, watch=watch))
        about = about_detection(loaded, options)
        say(f"Smoothing: {about['smoothing']}; a score is final {about['delay_segments']} segments later.")

        def found(item: ScoredSegment | Event) -> None:
            if isinstance(item, Event):
                events.append(item)
                say(event_line(item))
            else:
                bar.update()

        def noted() -> "Iterator[Target]":
            for target in targets:
                files[target.name] = target.video if isinstance(target.video, Path) else None
                yield target

        summary = detect_in(loaded, noted(), out, options, overwrite=overwrite, found=found)
        threshold = loaded.fitted.locator.threshold
        texts = _explained(loaded, out, events, files) if explain else {}
    scored = {video.video: files[video.video] for video in summary.videos if video.n_segments}
    _draw(out, scored, threshold, pictures, texts)
    print("\n".join([*summary.lines(), f"Results: {out}"]))
    return 0 if summary.is_whole else 3


def _explained(
    detector: "Detector", out: Path, events: "Sequence[Event]", files: "Mapping[str, Path | None]"
) -> dict[str, dict[int, str]]:
    """Explain the events of video files; return the texts by video and position of the event there."""
    from vadprobe.detect.explanations import explain_events, texts_by_video, write_explanations

    in_files = [(event, path) for event in events if (path := files[event.video]) is not None]
    if len(in_files) < len(events):
        say(f"{len(events) - len(in_files)} events of streams are not explained: their frames are not kept.")
    found = []
    for one in explain_events(detector, in_files):
        say(f"{one.event.video}, {one.event.start_second:.1f} s to {one.event.stop_second:.1f} s, {one.line()}")
        found.append(one)
    write_explanations(out, found, detector.fitted.features.backbone.key)
    return texts_by_video(events, found)


def _draw(
    out: Path,
    videos: "Mapping[str, Path | None]",
    threshold: float,
    options: "PictureOptions",
    texts: "Mapping[str, Mapping[int, str]]",
) -> None:
    """Draw the pictures of every video; what cannot be drawn is said, and the others go on."""
    from vadprobe.detect.pictures.drawing import PictureOptions, draw_pictures
    from vadprobe.store.errors import VadprobeError

    for name, file in videos.items():
        if file is None and (options.films or options.scored_video):
            print(f"{name}: films are cut from video files, and this is a stream; its curve alone is drawn.")
        try:
            draw_pictures(out, name, file, threshold, options if file else PictureOptions(), texts.get(name))
        except VadprobeError as error:
            print(f"{name}: not all pictures could be drawn: {error}")


def event_line(event: "Event") -> str:
    """Return an event in one line."""
    return (
        f"{event.video}: event from {event.start_second:.1f} s to {event.stop_second:.1f} s (frames "
        f"{event.start_frame}-{event.stop_frame - 1}), peak {event.peak_score:.3f}, mean {event.mean_score:.3f}"
    )
