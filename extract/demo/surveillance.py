"""The generated surveillance set: four videos of each camera, with frame-level truth, split by camera.

It replaces no real data set. It lets anybody run, time and test the whole way from video files to scores.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av

from vadprobe.extract.demo.captioner.recipe import first_difference
from vadprobe.extract.demo.scenes.camera import Film
from vadprobe.extract.demo.scenes.sprites import HEIGHT, WIDTH
from vadprobe.extract.demo.scripts import SECONDS, VERSION, Script, write_scripts
from vadprobe.extract.demo.side_by_side import run_side_by_side
from vadprobe.store.datasets.dataset import DRAWN_SET_CARD, Dataset, read_manifest, write_manifest
from vadprobe.store.datasets.video import Interval, Video
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json, write_json
from vadprobe.store.progress import Progress

NAME = "surveillance"
# x264's macroblock tree in its AVX-512 form takes memory it has not written into account (seen in core 165, at widths
# that are no multiple of 128): the same frames then give other bytes in another process, with one thread too.
_ENCODER = {"preset": "veryfast", "crf": "24", "g": "50", "threads": "1", "mbtree": "0"}
_KEPT_FRACTION = 0.6  # of the truncated file's bytes


def make_surveillance_set(
    folder: Path,
    *,
    seed: int = 0,
    n_videos: int = 176,
    seconds: tuple[float, float] | None = None,
    version: int = VERSION,
    workers: int = 2,
    progress: Progress | None = None,
) -> Dataset:
    """Make the videos and their truth below `folder`; videos that an earlier run has made are kept.

    Written are `videos/*.mp4` (H.264, 320 x 240, 12 to 30 frames per second), `manifest/` (Parquet), and the truth
    as UCF-Crime's text below `ucf-crime/`. One file, `truncated_00_4.mp4`, is cut to 60 per cent of its bytes on
    purpose; the manifest has the frame count its container claims.

    Args:
        folder: folder to fill.
        seed: the same seed gives the same set.
        n_videos: a multiple of 16, so that every split has whole cameras.
        seconds: shortest and longest video; by default those of `SECONDS`.
        version: of the world; see `write_scripts`.
        workers: number of processes that draw and encode; 0 draws in this process, as a notebook needs it.
        progress: called with the number of videos that are done, and of all.

    Returns:
        The dataset.

    Raises:
        VadprobeError: if the folder holds a set of another seed, size or version.
    """
    seconds = seconds or SECONDS[version]
    made_by = {"name": NAME, "version": version, "encoder": _ENCODER}
    card = {**made_by, "seed": seed, "n_videos": n_videos, "seconds": list(seconds)}
    _check_card(folder, card)
    scripts = write_scripts(seed, n_videos, seconds, version)
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    write_json(folder / DRAWN_SET_CARD, card)
    missing = [script for script in scripts if not _path(folder, script).exists()]
    if missing:
        jobs = [(script, _path(folder, script)) for script in missing]
        done = len(scripts) - len(missing)
        run_side_by_side(encode, jobs, workers=workers, done=done, progress=progress)
    dataset = dataset_of(scripts, folder / "videos")
    write_manifest(dataset, folder / "manifest")
    _write_ucf_crime(dataset, folder / "ucf-crime")
    return read_manifest(NAME, folder / "videos", folder / "manifest")


def dataset_of(scripts: Sequence[Script], folder: Path) -> Dataset:
    """Return the dataset that the scripts describe."""
    videos = tuple(
        Video(
            script.video_id,
            f"{script.video_id}.mp4",
            script.shot.n_frames,
            float(script.shot.fps),
            script.split,
            int(script.shot.kind is not None),
            script.shot.kind or "Normal",
        )
        for script in scripts
    )
    intervals = tuple(
        Interval(script.video_id, start, stop, script.shot.kind)
        for script in scripts
        for start, stop in script.shot.intervals
    )
    return Dataset(NAME, folder, videos, intervals)


def _path(folder: Path, script: Script) -> Path:
    return folder / "videos" / f"{script.video_id}.mp4"


def _check_card(folder: Path, card: dict[str, Any]) -> None:
    try:
        found = read_json(folder / DRAWN_SET_CARD)
    except FileNotFoundError:
        return
    different = first_difference(json.loads(json.dumps(card)), found)
    if different:
        raise VadprobeError(f"{folder} holds another surveillance set: {different}. Use another folder, or remove it.")


def encode(script: Script, path: Path) -> None:
    """Draw and encode one video under a temporary name, then rename it."""
    temporary = path.with_suffix(".partial")
    with av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=script.shot.fps, options=_ENCODER)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in Film(script.shot, script.seed).frames(range(script.shot.n_frames)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    if script.truncated:
        content = temporary.read_bytes()
        temporary.write_bytes(content[: int(_KEPT_FRACTION * len(content))])
    temporary.replace(path)


def _write_ucf_crime(dataset: Dataset, folder: Path) -> None:
    """Write the test videos' truth in UCF-Crime's text layout, and both split lists.

    `s e` are the first frame and the frame after the last, counted from 0; -1 -1 stands for no interval. Where the
    original has room for two intervals, a third adds two more columns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for video in dataset.of_split("test"):
        numbers = [number for i in dataset.intervals_of(video.video_id) for number in (i.start_frame, i.stop_frame)]
        numbers += [-1] * (4 - len(numbers))
        lines.append("  ".join([video.path, video.category or "Normal", *map(str, numbers)]) + "  ")
    (folder / "Temporal_Anomaly_Annotation_for_Testing_Videos.txt").write_text("\n".join(lines) + "\n")
    for name, splits in (("Anomaly_Train.txt", ("train", "validation")), ("Anomaly_Test.txt", ("test",))):
        rows = [f"{video.category}/{video.path}" for video in dataset.videos if video.split in splits]
        (folder / name).write_text("\n".join(rows) + "\n")
