"""A small job of stage 1."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

JOB = """\
workspace = "."
prompts = {prompts}
[dataset]
name = "set"
videos = "videos"
[store]
root = "features"
[[sampling]]
unit = "segment"
clip_length = {length}
frames_per_clip = 2
[backbone]
key = "tiny"
path = "{backbone}"
dtype = "float32"
frame_size = [56, 56]
{more}
"""


@pytest.fixture
def job(tmp_path: Path, tiny_backbones: Mapping[str, Path], write_video: Callable[..., Path]) -> Callable[..., Path]:
    """Write a job over two small videos; the arguments replace parts of it."""
    (tmp_path / "videos").mkdir()
    for number in range(2):
        write_video(tmp_path / "videos" / f"clip{number}.mp4", n_frames=20)

    def write(prompts: str = '["coarse"]', length: int = 8, more: str = "", backbone: str | None = None) -> Path:
        path = tmp_path / "job.toml"
        path.write_text(
            JOB.format(prompts=prompts, length=length, more=more, backbone=backbone or tiny_backbones["qwen2_5_vl"])
        )
        return path

    return write
