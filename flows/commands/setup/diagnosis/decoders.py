"""Findings about videos: a small one is written and read again by each reader."""

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from vadprobe.flows.commands.setup.diagnosis.finding import Finding
from vadprobe.flows.commands.setup.diagnosis.packages import has_package

_CODECS = {"h264": "H.264", "hevc": "HEVC", "av1": "AV1", "vp9": "VP9", "mpeg4": "MPEG-4", "mjpeg": "Motion JPEG"}
_N_FRAMES = 12


def decoder_findings() -> Iterator[Finding]:
    """Yield findings on reading videos, and on the codecs that can be read."""
    if not has_package("av"):
        text = "PyAV is not installed; stage 2 does not need it"
        yield Finding("videos", "note", text, "pip install 'vadprobe[extract]', if you need it")
        return
    import av

    missing = [name for codec, name in _CODECS.items() if codec not in av.codecs_available]
    known = ", ".join(name for codec, name in _CODECS.items() if codec in av.codecs_available)
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    about = f"PyAV {av.__version__} (libavcodec {version}) decodes {known}"
    if missing:
        text = f"{about}, but not {', '.join(missing)}"
        yield Finding("videos", "problem", text, "install PyAV from PyPI, whose build has them all")
    else:
        yield Finding("videos", "good", about)
    for reader in ("pyav", "decord"):
        if reader == "pyav" or has_package("decord"):
            yield _read_again(reader)


def _read_again(reader: str) -> Finding:
    """Write a small video and decode every frame of it, in a process as the extraction does."""
    from vadprobe.extract.video.decoder import Decoder
    from vadprobe.store.errors import VadprobeError

    part = f"reader {reader}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = _small_video(Path(folder))
            with Decoder(reader="decord" if reader == "decord" else "pyav") as decoder:
                n_frames, fps = decoder.probe(path)
                frames = decoder.read_clip(path, range(n_frames))
                used = decoder.reader
    except (VadprobeError, OSError) as error:
        return Finding(part, "problem", f"a small video could not be read: {error}", "reinstall 'vadprobe[extract]'")
    if len(frames) != _N_FRAMES:
        return Finding(part, "problem", f"read {len(frames)} of {_N_FRAMES} frames", "reinstall 'vadprobe[extract]'")
    return Finding(part, "good", f"reads a small video: {n_frames} frames at {fps:g} frames/s, by {used}")


def _small_video(folder: Path) -> Path:
    """Return a video of twelve grey frames, in MPEG-4, which every build can write."""
    import av
    import numpy as np

    path = folder / "small.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(_N_FRAMES):
            picture = np.full((48, 64, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
