"""Time to read the frames of all clips of one long video: this project's decoder beside those it replaces.

Run `python -m benchmarks.extract.decoding`. The video is made here; every frame shows its number. Each way runs in a
process of its own, with one decoding thread, and ways take turns. Ways that open the file for every clip read
`--sample` clips spread over the video, and their seconds are scaled to all clips, because the cost of a clip does not
depend on earlier ones. The numbers shown by all frames read, and some whole frames, are compared with PyAV's.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from vadprobe.extract.video.decoder import Decoder
from vadprobe.store.format.sampling import sample_frames

Clips = Sequence[list[int]]
Frames = Iterator[np.ndarray]
OURS, LIMIT = "vadprobe", "limit: PyAV decodes, nothing converted"
BLOCK = 12
"""Width in pixels of a bit of the frame number, which is 4 x 4 bits in the upper left corner."""

COMPARED = 12
"""Number of clips whose whole frames are compared."""


def write_video(path: Path, sizes: argparse.Namespace) -> None:
    """Write a street-like scene: a still background, noise of its own in every frame, moving shapes, the number."""
    make = np.random.default_rng(0)
    coarse = make.integers(40, 200, (sizes.height // 8, sizes.width // 8))
    still = np.kron(coarse, np.ones((8, 8), dtype=np.int64)) + make.integers(-12, 12, (sizes.height, sizes.width))
    noise = make.integers(-3, 4, (16, sizes.height, sizes.width))
    scenes = np.clip(still + noise, 0, 255).astype(np.uint8)
    patches = make.integers(90, 166, (-(-sizes.height // 16), sizes.width // 8), dtype=np.uint8)
    colour = patches.repeat(8, 0).repeat(8, 1)[: sizes.height // 2]
    with av.open(str(path), "w") as file:
        stream = file.add_stream(sizes.codec, rate=sizes.rate)
        stream.height, stream.width, stream.pix_fmt = sizes.height, sizes.width, "yuv420p"
        stream.options = {"preset": sizes.preset, "g": "250", "crf": "23", "x265-params": "log-level=error"}
        for number in range(round(60 * sizes.minutes * sizes.rate)):
            grey = scenes[number % len(scenes)].copy()
            for shape in range(3):
                left, top = (number * (2 + shape)) % (sizes.width - 32), 60 + 50 * shape
                grey[top : top + 40, left : left + 24] = 60 * shape + 30
            bits = np.array([255 * (number >> bit & 1) for bit in range(16)], dtype=np.uint8).reshape(4, 4)
            grey[: 4 * BLOCK, : 4 * BLOCK] = bits.repeat(BLOCK, 0).repeat(BLOCK, 1)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.concatenate([grey, colour]), format="yuv420p")))
        file.mux(stream.encode())


def numbers_of(frames: np.ndarray) -> list[int]:
    """Return the numbers that frames show."""
    middle = slice(BLOCK // 2, 4 * BLOCK, BLOCK)
    bits = frames[:, middle, middle, 0].reshape(len(frames), 16) > 127
    return [int(one) for one in bits @ (1 << np.arange(16))]


def by_vadprobe(path: Path, clips: Clips) -> Frames:
    """Read as an extraction reads."""
    with Decoder() as decoder:
        for clip in clips:
            yield decoder.read_clip(path, clip)


def by_vadprobe_with_decord(path: Path, clips: Clips) -> Frames:
    """Read as an extraction reads that asks for decord, which was the default before."""
    with Decoder(reader="decord") as decoder:
        for clip in clips:
            yield decoder.read_clip(path, clip)


def by_decord_reopened(path: Path, clips: Clips) -> Frames:
    """Read as the methods' public code reads: decord opens the file for every clip."""
    import decord  # noqa: PLC0415

    for clip in clips:
        yield decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1).get_batch(clip).asnumpy()


def by_decord(path: Path, clips: Clips) -> Frames:
    """Read with one decord reader, a batch for each clip."""
    import decord  # noqa: PLC0415

    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    for clip in clips:
        yield reader.get_batch(clip).asnumpy()


def _one_thread(container: Any) -> Any:
    stream = container.streams.video[0]
    stream.thread_count = 1
    return stream


def by_pyav_reopened(path: Path, clips: Clips) -> Frames:
    """Open, seek to the key frame before the clip, decode up to its last frame."""
    for clip in clips:
        with av.open(str(path)) as container:
            stream = _one_thread(container)
            step = 1 / stream.average_rate / stream.time_base
            begin = stream.start_time
            container.seek(begin + round(clip[0] * step), stream=stream)
            wanted, found = set(clip), {}
            for frame in container.decode(stream):
                index = round((frame.pts - begin) / step)
                if index in wanted:
                    found[index] = frame.to_ndarray(format="rgb24")
                if index >= clip[-1]:
                    break
            yield np.stack([found[index] for index in clip])


def by_pyav(path: Path, clips: Clips) -> Frames:
    """Read with PyAV in one pass; only the frames asked for are converted."""
    with av.open(str(path)) as container:
        shown = enumerate(container.decode(_one_thread(container)))
        for clip in clips:
            found = {}
            for index, frame in shown:
                if index in clip:
                    found[index] = frame.to_ndarray(format="rgb24")
                if index == clip[-1]:
                    break
            yield np.stack([found[index] for index in clip])


def by_opencv(path: Path, clips: Clips) -> Frames:
    """Read with OpenCV in one pass; frames in between are grabbed, not retrieved."""
    import cv2  # noqa: PLC0415

    reader = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    position = 0
    for clip in clips:
        found = []
        for index in clip:
            while position <= index:
                reader.grab()
                position += 1
            found.append(cv2.cvtColor(reader.retrieve()[1], cv2.COLOR_BGR2RGB))
        yield np.stack(found)


def by_torchcodec(path: Path, clips: Clips) -> Frames:
    """Read with one decoder of torchcodec, the frames of a clip at once."""
    from torchcodec.decoders import VideoDecoder  # noqa: PLC0415

    reader = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
    for clip in clips:
        yield reader.get_frames_at(clip).data.numpy()


def decode_alone(path: Path, clips: Clips) -> Frames:
    """Decode every frame, and look at none."""
    with av.open(str(path)) as container:
        for _ in container.decode(_one_thread(container)):
            pass
    yield from ()


WAYS: dict[str, tuple[Callable[[Path, Clips], Frames], str]] = {
    OURS: (by_vadprobe, "av"),
    "vadprobe, reader = 'decord'": (by_vadprobe_with_decord, "decord"),
    "decord, opened for every clip": (by_decord_reopened, "decord"),
    "PyAV, opened and sought for every clip": (by_pyav_reopened, "av"),
    "decord, one reader": (by_decord, "decord"),
    "PyAV, one pass": (by_pyav, "av"),
    "OpenCV, one pass": (by_opencv, "cv2"),
    "torchcodec, one decoder": (by_torchcodec, "torchcodec.decoders"),
    LIMIT: (decode_alone, "av"),
}
SAMPLED = ("decord, opened for every clip", "PyAV, opened and sought for every clip")


def clips_of(path: Path, length: int, count: int) -> list[list[int]]:
    """Return the frame indices of all clips of the video, as the project samples them."""
    with av.open(str(path)) as container:
        n_frames = container.streams.video[0].frames
    return [list(sample_frames(start, min(start + length, n_frames), count)) for start in range(0, n_frames, length)]


def _cpu_seconds() -> float:
    """Return the processor seconds of this process and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def run_here(sizes: argparse.Namespace) -> None:
    """Time one way in this process, and print its results."""
    clips = clips_of(sizes.video, *sizes.sampling)
    step = max(1, len(clips) // sizes.sample) if sizes.way in SAMPLED else 1
    chosen = clips[::step]
    looked_at = max(1, len(clips) // step // COMPARED)
    shown, whole = list[int](), {}
    began, cpu = time.perf_counter(), _cpu_seconds()
    for number, frames in enumerate(WAYS[sizes.way][0](sizes.video, chosen)):
        paused, worked = time.perf_counter(), time.process_time()  # what is looked at here belongs to no way
        shown += numbers_of(frames)
        if number % looked_at == 0:
            whole[str(number * step)] = frames.copy()
        began, cpu = began + time.perf_counter() - paused, cpu + time.process_time() - worked
    seconds, cpu = time.perf_counter() - began, _cpu_seconds() - cpu
    if sizes.way != LIMIT and shown != [index for clip in chosen for index in clip]:
        sys.exit(f"{sizes.way} returned other frames than those asked for")
    np.savez(sizes.frames, **whole)
    scale = len(clips) / len(chosen)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"seconds": seconds * scale, "cpu": cpu * scale, "clips": len(chosen), "peak_kib": peak}))


def largest_difference(path: Path, clips: Clips, found: Path) -> int:
    """Return the largest difference in grey levels between the whole frames that a way kept and PyAV's."""
    with np.load(found) as kept:
        numbers = sorted(int(name) for name in kept.files)
        theirs = zip(numbers, by_pyav(path, [clips[number] for number in numbers]), strict=True)
        return max((int(np.abs(kept[str(n)].astype(int) - frames).max()) for n, frames in theirs), default=0)


def can_import(module: str) -> bool:
    """Return True if a module and its shared libraries are installed."""
    command = [sys.executable, "-c", f"import {module}"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def run_apart(sizes: argparse.Namespace, name: str, sampling: list[int], frames: Path) -> dict[str, Any]:
    """Time one way in a process of its own."""
    arguments = ["--way", name, "--video", sizes.video, "--frames", frames, "--sample", sizes.sample]
    command = [sys.executable, "-m", __spec__.name, *map(str, arguments), "--sampling", *map(str, sampling)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run_sampling(sizes: argparse.Namespace, length: int, count: int, folder: Path) -> dict[str, Any]:
    """Run all installed ways in turns, and print their table."""
    clips = clips_of(sizes.video, length, count)
    here = [name for name, (_, needs) in WAYS.items() if name in sizes.ways and can_import(needs)]
    absent = sizes.ways - set(here)
    frames = {name: folder / f"frames-{place}.npz" for place, name in enumerate(here)}
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in here}
    for turn in range(sizes.rounds):
        for name in tuple(here):
            try:
                rounds[name].append(run_apart(sizes, name, [length, count], frames[name]))
            except subprocess.CalledProcessError:
                if name in (OURS, LIMIT) or turn:
                    raise
                here.remove(name)  # it has said why, such as frames that were not asked for
                print(f"  {name}: failed on this file", flush=True)
    n_frames = clips[-1][-1] + 1
    print(f"clips of {length} frames, {count} of them read: {len(clips)} clips of about {n_frames} frames")
    head = f"median of {sizes.rounds} rounds"
    columns = f"{'s':>8}{'/ours':>8}{'CPU s':>8}{'/ours':>8}{'/limit':>8}"
    print(f"  {head:<60}{columns}{'frames/CPU s':>14}{'MiB':>6}{'grey levels':>13}")
    found: dict[str, Any] = {}
    for name in here:
        middle = {key: statistics.median(one[key] for one in rounds[name]) for key in rounds[name][0]}
        found[name] = {**middle, "rounds": rounds[name]}
        if name != LIMIT:
            found[name]["grey_levels"] = largest_difference(sizes.video, clips, frames[name])
    for name, one in found.items():
        note = f" ({one['clips']:.0f} clips, scaled)" if one["clips"] < len(clips) else ""
        ratios = [one[key] / found[OURS][key] for key in ("seconds", "cpu")]
        to_limit = f"{one['cpu'] / found[LIMIT]['cpu']:8.2f}" if LIMIT in found else f"{'-':>8}"
        print(
            f"  {name + note:<60}{one['seconds']:8.1f}{ratios[0]:8.2f}{one['cpu']:8.1f}{ratios[1]:8.2f}{to_limit}"
            f"{n_frames / one['cpu']:14.0f}{one['peak_kib'] / 1024:6.0f}{one.get('grey_levels', '-'):>13}"
        )
    for name in absent:
        print(f"  cannot be imported here: {WAYS[name][1]} ({name})")
    sys.stdout.flush()
    return found


def main() -> None:
    """Make the video, run every way, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    for name, default in (("rate", 30), ("height", 240), ("width", 320), ("rounds", 3), ("sample", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--codec", choices=("libx264", "libx265"), default="libx264", help="H.264 or HEVC")
    parser.add_argument("--preset", default="veryfast", help="of the encoder")
    parser.add_argument("--video", type=Path, help="use this file, or make it there if it does not exist")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--way", choices=WAYS, help="run this way only, in this process; prints JSON")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="leave the others out")
    parser.add_argument("--sampling", type=int, nargs=2, metavar=("LENGTH", "FRAMES"), help="default 24 8, then 48 16")
    parser.add_argument("--frames", type=Path, help=argparse.SUPPRESS)
    sizes = parser.parse_args()
    sizes.ways = {OURS, *sizes.ways}
    if sizes.way:
        run_here(sizes)
        return
    if round(60 * sizes.minutes * sizes.rate) >= 1 << 16:
        parser.error("frame numbers have 16 bits; ask for fewer minutes or a lower rate")
    with tempfile.TemporaryDirectory() as name:
        sizes.video = sizes.video or Path(name) / "video.mp4"
        if not sizes.video.exists():
            began = time.perf_counter()
            write_video(sizes.video, sizes)
            seconds, size = time.perf_counter() - began, sizes.video.stat().st_size / 1e6
            print(f"{size:.1f} MB encoded in {seconds:.0f} s", flush=True)
        samplings = [sizes.sampling] if sizes.sampling else [[24, 8], [48, 16]]
        found = {f"{one[0]}-{one[1]}": run_sampling(sizes, *one, Path(name)) for one in samplings}
    if sizes.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        versions = {one: importlib.metadata.version(one) for one in ("av", "decord", "numpy") if can_import(one)}
        content = {"command": sys.argv, "machine": machine, "versions": versions, "ways": found}
        sizes.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
