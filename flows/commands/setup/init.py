"""The command init."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vadprobe.store.datasets.annotations.names import VIDEO_SUFFIXES
from vadprobe.store.datasets.configuration import DatasetFormat
from vadprobe.store.errors import VadprobeError, near_file
from vadprobe.store.files.text import counted

if TYPE_CHECKING:
    from vadprobe.flows.jobs.job_files.new_job import NewJob


def init(
    videos: Path | None = None,
    /,
    *,
    out: Path = Path("job.toml"),
    detector: Path | None = None,
    labels: Path | None = None,
    format: DatasetFormat = "manifest",
    backbone: str | None = None,
    method: Literal["hiprobe", "headhunt"] = "hiprobe",
    overwrite: bool = False,
) -> int:
    """Write a commented job file for your own videos; in a terminal, ask for what is not given.

    With a detector the job scores the videos by it. With labels it fits one, by `method`. With neither it extracts
    features, to look at or to label later.

    Example: vadprobe init my-videos --detector detector.json

    Args:
        videos: folder of the video files
        out: the job file to write; paths in it begin in its folder
        detector: detector.json fitted elsewhere
        labels: a table of your own (columns video_id; label, 0 or 1; intervals, frames as 10-20;40-80; split, train,
            validation or test), or a known set's annotation, or the folder that holds it
        format: what the labels are like
        backbone: checkpoint folder or hub id; by default that of the detector
        method: the method to fit by, where there are labels
        overwrite: replace the file if it is there
    """
    from vadprobe.flows.jobs.job_files.new_job import NewJob

    if out.exists() and not overwrite:
        raise VadprobeError(f"{out} exists; name another file by --out, or give --overwrite.")
    if videos is None:
        videos = Path(_asked("Folder of your videos"))
        if detector is None and labels is None:
            detector = _path(_asked("A detector.json to score them by (empty: none)", empty=True))
        if detector is None and labels is None:
            labels = _path(_asked("A table of labels to fit on (empty: none)", empty=True))
        if detector is None and backbone is None:
            backbone = _asked("Backbone, a checkpoint folder or a hub id")
    _check(videos, detector, labels)
    prefix = "" if out.name == "job.toml" else f"{out.stem}-"
    name = videos.resolve().name.lower().replace(" ", "-") or "videos"
    new = NewJob(out.parent, videos, name, backbone, detector, labels, format, method, prefix)
    _write(out, new)
    found = sum(path.suffix.lower() in VIDEO_SUFFIXES for path in videos.rglob("*"))
    print(f"Videos: {counted(found, 'file')} below {videos}{'' if found else '; put yours there before you go on'}.")
    print(f"Written: {out}\n{_next_step(new, out)}")
    return 0


def _write(out: Path, new: "NewJob") -> None:
    """Write the job with the meanings of its keys, after checking that the text loads as a job."""
    from pydantic import ValidationError

    from vadprobe.flows.jobs.job import JobConfig
    from vadprobe.flows.jobs.job_files.commented import commented_lines
    from vadprobe.store.files.atomic_files import write_bytes
    from vadprobe.store.settings import explain

    settings = new.settings()
    try:
        config = JobConfig.model_validate(settings)
    except ValidationError as error:
        raise explain(out, error, JobConfig) from error
    about = "# A job for vadprobe. Every other key has a default: 'vadprobe show-job FILE' prints them all.\n\n"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, (about + "\n".join(commented_lines(config, settings)) + "\n").encode())


def _next_step(new: "NewJob", out: Path) -> str:
    """Return the commands to run next."""
    steps = [f"vadprobe plan {out}", f"vadprobe extract {out}"]
    if new.detector is not None or new.labels is not None:
        steps.append(f"vadprobe analyze {out}")
    else:
        steps.append("then add labels, or a detector ('vadprobe init --help'), for an analysis")
    return "\n".join(["Next:", *(f"  {step}" for step in steps)])


def _check(videos: Path, detector: Path | None, labels: Path | None) -> None:
    """Refuse paths that do not exist, and a detector together with labels, as a job either fits a detector or not."""
    if videos.is_file():
        raise VadprobeError(f"{videos} is a file; name the folder of your video files.")
    if not videos.is_dir():
        raise VadprobeError(f"{videos} is not a folder{near_file(videos)} Name the folder of your video files.")
    for path in (detector, labels):
        if path is not None and not path.exists():
            raise VadprobeError(f"{path} does not exist{near_file(path)}")


def _path(answer: str) -> Path | None:
    return Path(answer).expanduser() if answer else None


def _asked(question: str, *, empty: bool = False) -> str:
    """Ask a question in the terminal until it is answered.

    Raises:
        VadprobeError: if the input ends without an answer.
    """
    while sys.stdin.isatty():
        try:
            answer = input(f"{question}: ").strip()
        except EOFError:
            break
        if answer or empty:
            return answer
    raise VadprobeError("no folder of videos is named, and there is no terminal to ask in; see 'vadprobe init --help'.")
