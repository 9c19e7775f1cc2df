"""Job files of stage 1 on a tiny backbone, which runs on the CPU in float32."""

from pathlib import Path

JOB = """\
workspace = "."
prompts = {prompts}
[dataset]
name = "set"
videos = "{videos}"
[store]
root = "features"
[[sampling]]
unit = "segment"
clip_length = {length}
frames_per_clip = {frames}
[backbone]
key = "tiny"
path = "{backbone}"
dtype = "float32"
frame_size = [{size}, {size}]
{more}
"""


def write_job(
    folder: Path,
    backbone: Path | str,
    *,
    videos: Path | str = "videos",
    prompts: str = '["coarse"]',
    length: int = 8,
    frames: int = 2,
    size: int = 56,
    more: str = "",
) -> Path:
    """Write a job into a folder, which is its workspace; `more` are lines at its end."""
    path = folder / "job.toml"
    path.write_text(
        JOB.format(
            prompts=prompts, videos=videos, length=length, frames=frames, backbone=backbone, size=size, more=more
        )
    )
    return path
