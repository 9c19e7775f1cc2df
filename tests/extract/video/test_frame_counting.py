"""Frames are counted by header, index and decoding, and files that disagree or do not open are named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.paths import SHARED
from vadprobe.extract.video.decoder import Decoder
from vadprobe.extract.video.frame_counting import count_frames

DATA = SHARED / "videos"


def test_every_way_of_counting_agrees_on_a_sound_file(
    decoder: Decoder, tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    write_video(tmp_path / "a.mp4", n_frames=20)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    seen = []
    files = {"a": "a.mp4", "empty": "empty.mp4", "text": "text.mp4", "gone": "gone.mp4"}
    probed, findings = count_frames(tmp_path, files, decode=True, progress=lambda done, n: seen.append((done, n)))
    assert findings == ()
    assert [(video.video_id, video.n_frames) for video in probed] == [
        ("a", 20),
        ("empty", None),
        ("text", None),
        ("gone", None),
    ]
    assert "empty (0 bytes)" in (probed[1].reason or "")
    assert all(video.reason for video in probed[1:])
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert decoder.count(tmp_path / "a.mp4", True) == (20, 20)
    assert decoder.count(tmp_path / "a.mp4", False) == (20, None)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real videos (../shared/data/videos) are not here")
def test_a_real_file_whose_header_and_decoder_disagree_is_named() -> None:
    files = {"nasa": "real/nasa_13013.mp4", "holmes": "real/holmes_car_accident.mp4"}
    probed, findings = count_frames(DATA, files, decode=False)
    assert [video.n_frames for video in probed] == [390, 120]
    assert [finding.videos for finding in findings] == [("nasa",)]
    assert "the decoder counts 390 frames, its container declares 325" in findings[0].message
    assert findings[0].changes_score
