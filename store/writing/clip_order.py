"""Order of clips when a stored clip table is extended: stored videos keep their rows, new ones follow."""

from typing import Literal

from vadprobe.store.files.location import StorePath
from vadprobe.store.files.text import counted
from vadprobe.store.format.clip_table import ClipTable
from vadprobe.store.writing.growth import writers_at


def continue_table(
    clips: ClipTable, path: StorePath, backbone: StorePath, new_videos: Literal["refuse", "append", "later"]
) -> tuple[ClipTable, str | None]:
    """Return clips in the order of the stored table, if it has the same videos or may be extended.

    New videos are left for later while another worker computes: no store grows during its work.

    Args:
        clips: the clips of the videos that are there now.
        path: of the clip table.
        backbone: folder of the backbone's stores.
        new_videos: what to do with clips that the stored table lacks.

    Returns:
        The table to plan with, and a sentence about new videos, None without any. The table is `clips` itself where it
        contradicts the stored one; planning then refuses it.
    """
    stored = ClipTable.read(path) if path.exists() else clips
    if stored.digest == clips.digest:
        return clips, None
    codes = {video_id: code for code, video_id in enumerate(clips.video_ids)}
    old = [codes[video_id] for video_id in stored.video_ids if video_id in codes]
    new = sorted(set(codes.values()) - set(old))
    same = clips.of_videos(old)
    if same.digest != stored.digest:
        return clips, None
    if not new:
        return same, None
    named = f"{path.parent.name}: {counted(len(new), 'new video')}, {counted(len(clips) - len(same), 'clip')}"
    if new_videos == "append":
        busy = writers_at(backbone)
        if not busy:
            return clips.of_videos(old + new), f"{named}, appended behind clip {len(same) - 1:,}."
        return same, f"{named}, left for a later run: another process extracts ({busy[0]})."
    return (clips, None) if new_videos == "refuse" else (same, f"{named}, left for a later run.")
