"""Size of a page about a large test split, and time to write and draw it: `python -m benchmarks.analyze.report_page`.

The split is made up: lengths are lognormal and add up to the frames of UCF-Crime's 290 test videos, every second video
has an anomaly, scores are smoothed noise, every segment has a text and every video a film strip. Seconds of drawing
are those from the start of the navigation to the end of the page's load event, in headless Chromium where there is one.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from tests.support.planted import write_planted
from tests.support.processes.chromium import CHROMIUM, running_browser
from vadprobe.analyze.report.page.writing import write_report
from vadprobe.analyze.report.part import FilmStrip, GeneratedTexts, ReportPart
from vadprobe.flows.jobs.analyze_job import analyze, open_analysis
from vadprobe.flows.jobs.job import load_job
from vadprobe.flows.jobs.reports.film_strips import COUNT, encode_strip, room_of
from vadprobe.flows.jobs.reports.parts import report_part
from vadprobe.store.datasets.video import Interval, Video

CLIP, FPS = 24, 30.0
EVENT_COLUMNS = (
    "video_id", "split", "kind", "start_frame", "stop_frame", "start_second", "stop_second", "peak_score", "peak_frame",
    "mean_score", "true_fraction", "iou",
)  # fmt: skip


@dataclass(frozen=True)
class Split:
    """Made-up test videos, with their scores, events and texts as in the tables of a result's files."""

    videos: tuple[Video, ...]
    intervals: tuple[Interval, ...]
    scores: pa.Table
    events: pa.Table
    texts: pa.Table


def made_up(n_videos: int, n_frames: int, rng: np.random.Generator) -> Split:
    """Make up a test split of about `n_frames` frames."""
    lengths = np.clip(rng.lognormal(7.6, 0.9, n_videos), 200, 105_000)
    lengths = (lengths * n_frames / lengths.sum()).astype(int)
    videos, intervals, scores, events, texts = [], [], [], [], []
    for number, length in enumerate(lengths.tolist()):
        name, label = f"Category{number % 13:02d}_{number:03d}_x264", number % 2
        kind = f"Kind{number % 13}" if label else None
        videos.append(Video(name, f"{name}.mp4", length, FPS, "test", label, kind))
        if label:
            intervals.append(Interval(name, length // 3, length // 3 + length // 6 + 1, kind))
        starts = np.arange(0, length, CLIP)
        stops = np.minimum(starts + CLIP, length)
        raw = rng.random(len(starts))
        smooth = np.convolve(raw, np.ones(5) / 5, "same")
        columns = zip(starts.tolist(), stops.tolist(), raw.tolist(), smooth.tolist(), strict=True)
        scores += [(name, "test", place, *row) for place, row in enumerate(columns)]
        events += _events(name, starts, stops, smooth)
        seen = rng.integers(4000, size=len(starts)).tolist()
        spans = zip(starts.tolist(), stops.tolist(), seen, strict=True)
        texts += [(name, start, stop, f"A person number {one} walks past a car.") for start, stop, one in spans]
    return Split(
        tuple(videos), tuple(intervals),
        _table(scores, ("video_id", "split", "index", "start_frame", "stop_frame", "raw_score", "score")),
        _table(events, EVENT_COLUMNS), _table(texts, ("video_id", "start_frame", "stop_frame", "text")),
    )  # fmt: skip


def _events(name: str, starts: np.ndarray, stops: np.ndarray, scores: np.ndarray) -> Iterator[tuple[Any, ...]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (scores > 0.5).astype(int), [0]]))).reshape(-1, 2)
    for first, last in edges.tolist():
        start, stop, inside = int(starts[first]), int(stops[last - 1]), scores[first:last]
        yield (name, "test", "anomalous", start, stop, start / FPS, stop / FPS, float(inside.max()), start,
               float(inside.mean()), 0.5, 0.1)  # fmt: skip


def _table(rows: list[tuple[Any, ...]], names: tuple[str, ...]) -> pa.Table:
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})


def strips_of(videos: tuple[Video, ...], rng: np.random.Generator) -> dict[str, FilmStrip]:
    """Draw strips of coloured patches with some noise, about as hard to encode as dim street scenes."""
    found = {}
    for video in videos:
        patches = rng.integers(0, 255, (COUNT, 15, 20, 3)).astype(np.uint8)
        large = [np.asarray(Image.fromarray(one).resize((320, 240), Image.Resampling.BICUBIC)) for one in patches]
        noise = rng.integers(-6, 7, (COUNT, 240, 320, 3))
        frames = np.clip(np.stack(large) + noise, 0, 255).astype(np.uint8)
        found[video.video_id] = FilmStrip(encode_strip(frames, room_of(len(videos))), COUNT)
    return found


def parts_of(folder: Path, split: Split, strips: dict[str, FilmStrip]) -> list[ReportPart]:
    """Return analyses of a planted set by both methods, with the made-up split in place of its own."""
    planted = write_planted(folder)
    texts = GeneratedTexts(split.texts, "Texts are made up.")
    parts = []
    for method in ("headhunt", "hiprobe"):
        job = load_job(planted.job(method))
        analyze(job)
        part = report_part(job, open_analysis(job))
        truth = replace(part.truth, videos=split.videos, intervals=split.intervals)
        parts.append(replace(part, truth=truth, scores=split.scores, events=split.events, texts=texts, strips=strips))
    return parts


def drawn(path: Path, folder: Path) -> dict[str, Any]:
    """Open the page and return seconds to load and draw it, and to draw another video."""
    with running_browser(folder / "profile") as browser:
        tab = browser.open(path)
        tab.until("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
        load = tab.value("performance.getEntriesByType('navigation')[0].loadEventEnd / 1000")
        another = tab.value(
            "(() => { const begun = performance.now(); document.querySelector('[data-pick=next]').click(); "
            "return (performance.now() - begun) / 1000; })()"
        )
        assert not tab.problems, tab.problems
    return {"seconds_to_load_and_draw": round(load, 3), "seconds_of_another_video": round(another, 4)}


def main() -> None:
    """Measure, print, and write JSON if asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=290)
    parser.add_argument("--frames", type=int, default=1_110_000, help="frames of all videos together")
    parser.add_argument("--page", type=Path, help="folder to leave the largest page in")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    split = made_up(options.videos, options.frames, rng)
    strips = strips_of(split.videos, rng)
    cases = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        parts = parts_of(folder / "planted", split, strips)
        bare = [replace(part, texts=None, strips={}) for part in parts]
        shown = {"1 result, bare": bare[:1], "1 result": parts[:1], "2 results": parts}
        for case, chosen in shown.items():
            begun = time.process_time()
            path = write_report(chosen, (options.page or folder) / f"page-{len(chosen)}.html")
            written = {"page": case, "megabytes": round(path.stat().st_size / 1e6, 2),
                       "cpu_seconds_to_write": round(time.process_time() - begun, 2)}  # fmt: skip
            cases.append({**written, **(drawn(path, folder) if CHROMIUM else {})})
            print(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in cases[-1].items()))
    weight = sum(len(one.webp) for one in strips.values()) / 1e6
    found = {
        "videos": options.videos, "segments": split.scores.num_rows, "events": split.events.num_rows,
        "strips_megabytes": round(weight, 2), "cases": cases,
    }  # fmt: skip
    print(f"{found['videos']} videos, {found['segments']} segments, strips of {found['strips_megabytes']} MB")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
