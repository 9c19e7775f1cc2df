"""Detection in one long generated video, offline and causal: events against truth, delay, and memory over its length.

Run `python -m benchmarks.detect.long_detection --detector detector.json --backbone FOLDER`, with a detector of the
demo. The video is drawn once below `--folder`; `vadprobe detect` runs on it as a user runs it, and the memory of its
process and of the decoder's is read from /proc (Linux). For memory it also runs on a longer file, which has the same
video several times in a row.

A true event counts as noticed if an anomalous segment has a frame of it. Its delay is the time from its first frame
until the smoothed score of the first such segment was final by the clock of the video: the end of that segment plus
the segments that the form waits for. The time of computation (the latency) comes on top; it is that of a batch, of 8
segments offline and of 1 in the causal form.
"""

import argparse
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.detect.long_video import NAME, SCENE_SECONDS, make_long_video, repeat_video
from benchmarks.extract.extraction_memory import MIB, children_of, growth, resident
from vadprobe.analyze.evaluation.events.event_precision import event_f1, event_map
from vadprobe.analyze.evaluation.events.events import Events, merge_intervals
from vadprobe.store.datasets.dataset import Dataset

FORMS = {"offline": (), "causal": ("--look-ahead", "0", "--batch", "1")}
IOUS = (0.1, 0.3, 0.5)
MAIN, DECODER = "detection", "decoder"
LONGER = "longer"
COLOURS = {"offline": "#1c5d99", "causal": "#c8553d", LONGER: "#6b7280"}
STYLES = {MAIN: "-", DECODER: ":"}


def sampled(command: Sequence[str], out: Path) -> tuple[list[dict[str, float]], str]:
    """Run a detection; return memory and finished segments over time, and its output."""
    samples, began, scores = list[dict[str, float]](), time.monotonic(), out / "scores.jsonl"
    with out.with_suffix(".log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            time.sleep(0.25)
            done = scores.read_bytes().count(b"\n") if scores.exists() else 0
            held = [resident(child) for child in children_of(process.pid)] if process.poll() is None else []
            one = {"seconds": time.monotonic() - began, "clips": done, MAIN: resident(process.pid), DECODER: sum(held)}
            samples.append(one)
        log.seek(0)
        printed = log.read()
    if process.returncode:
        sys.exit(f"the detection failed:\n{printed[-3000:]}")
    return samples, printed


def measured(dataset: Dataset, out: Path) -> dict[str, Any]:
    """Return the measures of a form's events against the truth."""
    segments, events = (_rows(out / name) for name in ("scores.jsonl", "events.jsonl"))
    summary = json.loads((out / "summary.json").read_text())
    (video,) = summary["videos"]
    intervals = [(interval.start_frame, interval.stop_frame) for interval in dataset.intervals_of(NAME)]
    starts, stops = np.array(intervals, dtype=np.int64).reshape(-1, 2).T
    truth = merge_intervals(np.zeros_like(starts), starts, stops)
    columns = [np.array([event[name] for event in events], dtype=np.int64) for name in ("start_frame", "stop_frame")]
    confidences = np.array([event["mean_score"] for event in events], dtype=np.float64)
    predicted = Events(np.zeros_like(columns[0]), *columns, confidences)
    delays = delays_of(segments, truth[1:], summary["delay_segments"])
    noticed = [delay for delay in delays if delay is not None]
    false = sum(
        not any(start < b and stop > a for a, b in zip(*truth[1:], strict=True))
        for start, stop in zip(*columns, strict=True)
    )
    return {
        "delay_segments": summary["delay_segments"],
        "n_segments": video["n_segments"],
        "n_true": len(truth[0]),
        "n_events": len(events),
        "n_false": int(false),
        "n_noticed": len(noticed),
        "f1": {str(iou): event_f1(predicted, *truth, iou) for iou in IOUS},
        "average_precision": {str(iou): value for iou, value in event_map(predicted, *truth, IOUS).by_iou.items()},
        "delay_median": float(np.median(noticed)) if noticed else None,
        "delay_largest": max(noticed, default=None),
        "real_time_factor": video["real_time_factor"],
        "latency_p50": video["latency_p50"],
        "latency_p95": video["latency_p95"],
    }


def delays_of(
    segments: Sequence[dict[str, Any]], truth: tuple[np.ndarray, np.ndarray], waits: int
) -> list[float | None]:
    """Return the seconds from the start of each true event until it was noticed; None for one that was not."""
    rate = segments[0]["stop_frame"] / segments[0]["stop_second"]
    found: list[float | None] = []
    for start, stop in zip(*truth, strict=True):
        places = [
            number
            for number, one in enumerate(segments)
            if one["state"] == "anomalous" and one["start_frame"] < stop and one["stop_frame"] > start
        ]
        final = min(places[0] + waits, len(segments) - 1) if places else None
        found.append(None if final is None else float(segments[final]["stop_second"] - start / rate))
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def table_of(found: dict[str, dict[str, Any]]) -> str:
    """Return both forms as a Markdown table."""
    lines = [
        "| form | waits for | events | true ones noticed | false alarms | F1 at IoU 0.1 | 0.3 | 0.5 | delay, median "
        "(largest) | x real time | latency p50 (p95) |",
        "|" + "---|" * 11,
    ]
    for form, one in found.items():
        f1s = " | ".join(f"{one['f1'][str(iou)]:.3f}" for iou in IOUS)
        delay = "-" if one["delay_median"] is None else f"{one['delay_median']:.1f} s ({one['delay_largest']:.1f} s)"
        latency = f"{1000 * one['latency_p50']:.0f} ms ({1000 * one['latency_p95']:.0f} ms)"
        lines.append(
            f"| {form} | {one['delay_segments']} segments | {one['n_events']} | {one['n_noticed']} of {one['n_true']} "
            f"| {one['n_false']} | {f1s} | {delay} | {one['real_time_factor']:.1f} | {latency} |"
        )
    return "\n".join(lines)


def scoring(rows: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """Return the samples between the first and the last segment, without loading the model and drawing the curve."""
    last = max(row["clips"] for row in rows)
    return [row for row in rows if 0 < row["clips"] < last]


def draw(samples: dict[str, list[dict[str, float]]], lines: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """Draw memory against finished segments."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for form, rows in samples.items():
        for part, style in STYLES.items():
            one = lines[form][part]
            label = (
                f"{form}, {part}: {one['per_1000_clips'] / MIB:+.2f} ± {one['standard_error'] / MIB:.2f} MiB per 1,000"
            )
            places, held = ([row[name] for row in scoring(rows)] for name in ("clips", part))
            axes.plot(places, np.array(held) / MIB, style, color=COLOURS[form], linewidth=1.2, label=label)
    axes.set(xlabel="segments scored", ylabel="resident memory (MiB)", ylim=(0, None), xlim=(0, None))
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Draw the video, run both forms, compare, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--backbone", help="checkpoint, in place of the one that the detector names")
    parser.add_argument("--folder", type=Path, default=Path("long-video"), help="of the video and what is detected")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--times", type=int, default=4, help="length of the longer video, in lengths of the other")
    parser.add_argument("--seed", type=int, default=4242)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the samples to this file, and a figure beside it (.png)")
    options = parser.parse_args()
    dataset = make_long_video(options.folder, max(2, round(60 * options.minutes / SCENE_SECONDS)), options.seed)
    code = "import sys; from vadprobe.flows.command_line import main; sys.exit(main())"
    video = options.folder / "videos" / dataset.videos[0].path
    longer = repeat_video(video, options.times, options.folder / f"{NAME}-{options.times}.mp4")
    command = [sys.executable, "-c", code, "detect", "--detector", str(options.detector), "--overwrite"]
    command += ["--backbone", options.backbone] if options.backbone else []
    command += ["--device", "cpu", "--threads", str(options.threads)]
    found, samples, lines = {}, {}, {}
    for form, words in {**FORMS, LONGER: ()}.items():
        out, path = options.folder / form, longer if form == LONGER else video
        samples[form], _ = sampled([*command, str(path), *words, "--out", str(out)], out)
        if form in FORMS:
            found[form] = measured(dataset, out)
        lines[form] = {part: growth(samples[form], part) for part in (MAIN, DECODER)}
    print(table_of(found))
    for form, parts in lines.items():
        for part, one in parts.items():
            peak = max(row[part] for row in scoring(samples[form]))
            print(
                f"{form}, {part}: {one['level'] / MIB:.1f} MiB after a fifth, at most {peak / MIB:.1f}, growing "
                f"{one['per_1000_clips'] / MIB:+.2f} ± {one['standard_error'] / MIB:.2f} MiB per 1,000 segments"
            )
    if options.json:
        versions = {one: importlib.metadata.version(one) for one in ("torch", "transformers", "av", "decord")}
        about = {"minutes": options.minutes, "seed": options.seed, "machine": platform.machine(), "versions": versions}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({**about, "found": found, "growth": lines, "samples": samples}))
        draw(samples, lines, options.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
