"""Resident memory of an extraction over many clips: the main process and its decoders, from the first clip to the last.

Run `python -m benchmarks.extract.extraction_memory`. Small videos are made here, `vadprobe extract` runs on them
with a tiny backbone, and memory is read from /proc twice a second (Linux). Clips are counted by the partitions on disk.
A line fitted to the samples after the first fifth of the clips says how much memory grows per 1,000 clips.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
from matplotlib.figure import Figure

from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone

JOB = """\
workspace = "."
prompts = ["coarse"]
[dataset]
name = "small"
videos = "videos"
[store]
root = "features"
[[sampling]]
unit = "segment"
clip_length = {length}
frames_per_clip = {frames}
[backbone]
key = "tiny"
path = "backbone"
dtype = "float32"
frame_size = [28, 28]
[extraction]
device = "{device}"
threads = {threads}
"""
MIB = 1024**2
MAIN, DECODERS = "main process", "decoders"
PARTITION_CLIPS = 256


def make_job(folder: Path, sizes: argparse.Namespace) -> Path:
    """Videos of equal length, a backbone and a job."""
    (folder / "videos").mkdir()
    make = np.random.default_rng(0)
    still = make.integers(0, 255, (12, 16, 3)).repeat(16, 0).repeat(16, 1)
    n_frames = sizes.clips * sizes.length // sizes.videos
    for video in range(sizes.videos):
        with av.open(str(folder / "videos" / f"video_{video:03}.mp4"), "w") as file:
            stream = file.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = still.shape[0], still.shape[1], "yuv420p"
            stream.options = {"preset": "ultrafast", "g": "250"}
            for number in range(n_frames):
                picture = np.roll(still, number + video, axis=1).astype(np.uint8)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode())
    make_tiny_backbone(folder / "backbone", "qwen2_5_vl")
    job = folder / "job.toml"
    job.write_text(JOB.format(length=sizes.length, frames=sizes.frames, device=sizes.device, threads=sizes.threads))
    return job


def children_of(process: int) -> list[int]:
    """Processes below one, at any depth."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children_of(child)]
    return found


def resident(process: int) -> int:
    """Bytes of memory that a process holds; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def sample(job: Path, folder: Path, sizes: argparse.Namespace) -> tuple[list[dict[str, float]], str]:
    """Run the extraction; memory and finished clips over time, and what it printed."""
    code = "import sys; from vadprobe.flows.command_line import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "extract", str(job)]
    samples, began = list[dict[str, float]](), time.monotonic()
    with (folder / "log").open("w+") as log:
        settings = os.environ | ({"MALLOC_ARENA_MAX": sizes.arenas} if sizes.arenas else {})
        run = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=settings)
        while run.poll() is None:
            time.sleep(0.5)
            written = PARTITION_CLIPS * len(list((folder / "features").glob("**/*.records/*.json")))
            held = [resident(child) for child in children_of(run.pid)] if run.poll() is None else []
            one = {
                "seconds": time.monotonic() - began,
                "clips": min(written, sizes.clips),
                MAIN: resident(run.pid),
                DECODERS: sum(held),
            }
            samples += [{**one, "processes": 1 + len(held)}]
        log.seek(0)
        printed = log.read()
    if run.returncode:
        sys.exit(f"the extraction failed:\n{printed[-3000:]}")
    return samples, printed


def growth(samples: list[dict[str, float]], name: str) -> dict[str, float]:
    """Bytes per 1,000 clips by a fitted line, its standard error, and the level at the end of the warm-up."""
    clips, held = (np.array([one[key] for one in samples]) for key in ("clips", name))
    last = clips.max()
    chosen = (clips >= last / 5) & (clips < last) & (held > 0)  # after the last partition the process is ending
    if len(set(clips[chosen])) < 3:
        return {"per_1000_clips": float("nan"), "standard_error": float("nan"), "level": float("nan")}
    x, y = clips[chosen] / 1000, held[chosen]
    (slope, start), residual = np.polyfit(x, y, 1), y
    residual = y - slope * x - start
    # Neighbouring samples are alike: as many independent ones are counted as there are partitions.
    independent = max(3, len(set(clips[chosen])))
    error = np.sqrt(residual.var() / (independent - 2) / x.var())
    return {"per_1000_clips": float(slope), "standard_error": float(error), "level": float(start + slope * x[0])}


def draw(samples: list[dict[str, float]], found: dict[str, dict[str, float]], path: Path) -> None:
    """Memory over finished clips."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    clips = np.array([one["clips"] for one in samples])
    seconds = np.array([one["seconds"] for one in samples])
    firsts = np.flatnonzero(np.diff(clips, prepend=-1) > 0)  # in between clips are spread evenly
    places = np.interp(seconds, seconds[firsts], clips[firsts])
    for name, colour in ((MAIN, "#1c5d99"), (DECODERS, "#c8553d")):
        one = found[name]
        label = f"{name}: {one['per_1000_clips'] / MIB:+.2f} ± {one['standard_error'] / MIB:.2f} MiB per 1,000 clips"
        axes.plot(places, [value[name] / MIB for value in samples], color=colour, linewidth=1.2, label=label)
    axes.set(xlabel="clips written", ylabel="resident memory (MiB)", ylim=(0, None), xlim=(0, None))
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Read the sizes, run, fit, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes_of = (("clips", 10_000), ("videos", 10), ("length", 4), ("frames", 2), ("threads", 1))
    for name, default in sizes_of:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--arenas", help="MALLOC_ARENA_MAX of the run, to tell growth from what glibc keeps per thread")
    parser.add_argument("--json", type=Path, help="write the samples to this file, and a figure beside it (.png)")
    sizes = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        began = time.monotonic()
        job = make_job(Path(name), sizes)
        print(f"{sizes.clips} clips of {sizes.videos} videos made in {time.monotonic() - began:.0f} s", flush=True)
        samples, printed = sample(job, Path(name), sizes)
    found = {name: growth(samples, name) for name in (MAIN, DECODERS)}
    worked = next(line for line in printed.splitlines() if line.startswith("Worked on"))
    print(f"extracted in {samples[-1]['seconds']:.0f} s; {worked}")
    for name, one in found.items():
        peak = max(value[name] for value in samples)
        print(
            f"  {name:<14} {one['level'] / MIB:7.1f} MiB after a fifth of the clips, at most {peak / MIB:.1f}, growing "
            f"{one['per_1000_clips'] / MIB:+.3f} ± {one['standard_error'] / MIB:.3f} MiB per 1,000 clips"
        )
    if sizes.json:
        versions = {one: importlib.metadata.version(one) for one in ("torch", "transformers", "av", "decord")}
        machine: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count()}
        content = {"command": sys.argv, **machine, "versions": versions, "growth": found, "samples": samples}
        sizes.json.parent.mkdir(parents=True, exist_ok=True)
        sizes.json.write_text(json.dumps(content))
        draw(samples, found, sizes.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
