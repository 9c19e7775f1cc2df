"""The classes of transformers that read a checkpoint's small files, and plain words for when they cannot be loaded.

They import torchvision wherever it is installed, so a torchvision that does not fit the torch beside it breaks them.
"""

from importlib.metadata import version

from vadprobe.store.errors import VadprobeError


def unfitting_torchvision(error: ImportError) -> VadprobeError | None:
    """Return the error to raise if torchvision is the cause of a failed import of transformers; else None."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if "torchvision" not in str(cause):
        return None
    return VadprobeError(
        f"torch {version('torch')} and torchvision {version('torchvision')} do not fit together ({one_line(cause)}); "
        "install the torchvision that belongs to this torch, or uninstall torchvision."
    )


def missing_package(family: str, error: ImportError) -> VadprobeError:
    """Return the error to raise if a class of transformers needs a package that is not installed."""
    reason = one_line(error)
    package = "torchvision, in the version that belongs to your torch" if "orchvision" in reason else "what it names"
    return VadprobeError(
        f"models of the family {family!r} are read through transformers' own processor, which cannot be loaded: "
        f"{reason} Install {package}."
    )


def one_line(error: object) -> str:
    """Return the beginning of an error's text, on one line and cut between words."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200].rpartition(' ')[0] or text[:200]} ..."


def middle_frames(frames: int, seconds: float) -> "VideoMetadata":
    """Return metadata that place frame i of n in the middle of the i-th of n equal parts of the clip, both from 0.

    The library counts whole frames, so the grid has 2 n frames, of which those numbered 2 i + 1 are taken.
    """
    indices = [2 * frame + 1 for frame in range(frames)]
    return VideoMetadata(
        total_num_frames=2 * frames, fps=2 * frames / seconds, frames_indices=indices, duration=seconds
    )


try:
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer
    from transformers.video_processing_utils import BaseVideoProcessor
    from transformers.video_utils import VideoMetadata
except ImportError as failed:
    explained = unfitting_torchvision(failed)
    if explained is None:
        raise
    raise explained from failed

__all__ = ["AutoImageProcessor", "AutoProcessor", "AutoTokenizer", "BaseVideoProcessor", "VideoMetadata"]
