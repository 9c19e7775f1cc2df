"""One long generated video of a fixed camera, with its true events: scenes of 20 seconds of the demo's world in a row.

Every second scene has an anomaly, the kinds in turn; look-alikes and passers-by are in all of them. Weather changes
twice. At the joints passers-by change, which no real camera shows.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from vadprobe.extract.demo.scenes.camera import Film
from vadprobe.extract.demo.scenes.direction import write_shot
from vadprobe.extract.demo.scenes.shot import (
    NAMED_KINDS,
    NAMED_LOOK_ALIKES,
    UNNAMED_KINDS,
    UNNAMED_LOOK_ALIKES,
    WEATHER,
    Shot,
)
from vadprobe.extract.demo.scenes.sprites import HEIGHT, WIDTH
from vadprobe.store.datasets.dataset import DRAWN_SET_CARD, Dataset, read_manifest, write_manifest
from vadprobe.store.datasets.video import Interval, Video
from vadprobe.store.files.atomic_files import write_json

FPS = 15
SCENE_SECONDS = 20
NAME = "long"


def make_long_video(folder: Path, n_scenes: int, seed: int) -> Dataset:
    """Draw and encode the video below a folder, unless it is there; return it with its true events."""
    path = folder / "videos" / f"{NAME}.mp4"
    if path.exists():
        return read_manifest(NAME, path.parent, folder / "manifest")
    path.parent.mkdir(parents=True, exist_ok=True)
    shots = list(_shots(n_scenes, seed))
    intervals = [
        Interval(NAME, number * shot.n_frames + start, number * shot.n_frames + stop, shot.kind)
        for number, shot in enumerate(shots)
        for start, stop in shot.intervals
    ]
    n_frames = sum(shot.n_frames for shot in shots)
    video = Video(NAME, path.name, n_frames, float(FPS), "test", int(bool(intervals)), "Several")
    dataset = Dataset(NAME, path.parent, (video,), tuple(intervals))
    _encode(shots, seed, path)
    write_manifest(dataset, folder / "manifest")
    write_json(folder / DRAWN_SET_CARD, {"name": NAME, "version": 2, "seed": seed, "scenes": n_scenes})
    return read_manifest(NAME, path.parent, folder / "manifest")


def repeat_video(path: Path, times: int, out: Path) -> Path:
    """Write the packets of a video several times in a row to a file, unless it is there; return the file."""
    if out.exists():
        return out
    partial = out.with_suffix(".partial")
    with av.open(str(partial), "w", format="mp4") as written:
        stream, shift = None, 0
        for _ in range(times):
            with av.open(str(path)) as read:
                (source,) = read.streams.video
                stream = stream or written.add_stream_from_template(source)
                last = 0
                for packet in read.demux(source):
                    if packet.pts is None or packet.dts is None:
                        continue
                    last = max(last, packet.pts + (packet.duration or 0))
                    packet.stream, packet.pts, packet.dts = stream, packet.pts + shift, packet.dts + shift
                    written.mux(packet)
                shift += last
    partial.replace(out)
    return out


def _shots(n_scenes: int, seed: int) -> Iterator[Shot]:
    """Yield the scenes: a normal and an anomalous one in turn, all of one camera."""
    rng = np.random.default_rng([seed])
    kinds = rng.permutation([*NAMED_KINDS, *UNNAMED_KINDS])
    look_alikes = (*NAMED_LOOK_ALIKES, *UNNAMED_LOOK_ALIKES)
    for number in range(n_scenes):
        kind = str(kinds[number // 2 % len(kinds)]) if number % 2 else None
        n_frames = SCENE_SECONDS * FPS
        shot = write_shot(
            rng, place="street", n_frames=n_frames, fps=FPS, kind=kind, look_alikes=look_alikes, mixed=True
        )
        yield replace(shot, weather=WEATHER[number * len(WEATHER) // n_scenes], shake=0.0, occluders=0)


def _encode(shots: list[Shot], seed: int, path: Path) -> None:
    partial = path.with_suffix(".partial")
    with av.open(str(partial), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "24", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, shot in enumerate(shots):
            for frame in Film(shot, (2, seed, 0, number)).frames(range(shot.n_frames)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    partial.replace(path)
