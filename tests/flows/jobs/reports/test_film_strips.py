"""Film strips: small, evenly spaced, made once, and a video without one is named."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.planted import Planted, write_planted
from tests.support.samples.pages import Page
from vadprobe.extract.video.decoder import Decoder
from vadprobe.flows.command_line import main
from vadprobe.flows.jobs.analyze_job import analyze, open_analysis
from vadprobe.flows.jobs.job import load_job
from vadprobe.flows.jobs.reports.film_strips import COUNT, encode_strip, write_film_strips
from vadprobe.flows.jobs.reports.strip_files import read_film_strips
from vadprobe.store.errors import VideoError

pytestmark = pytest.mark.usefixtures("blank")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    planted = write_planted(tmp_path_factory.mktemp("planted"))
    analyze(load_job(planted.job("headhunt")))
    (planted.folder / "videos").mkdir()
    for video in planted.dataset.videos[:-1]:  # the last one is missing
        (planted.folder / "videos" / video.path).write_bytes(b"not looked at")
    return planted


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """Decode grey frames, but of one video none; the list has what was asked for."""
    found: list[tuple[str, list[int]]] = []

    def read_clip(decoder: Decoder, path: Path, indices: list[int]) -> np.ndarray:
        found.append((path.stem, list(indices)))
        if path.stem == "video24":
            raise VideoError("the file is damaged")
        return np.full((len(indices), 30, 40, 3), 128, np.uint8)

    monkeypatch.setattr(Decoder, "read_clip", read_clip)
    return found


def test_a_strip_is_no_larger_than_allowed() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, 240, 320, 3)).astype(np.uint8)
    for most in (6000, 2000):
        content = encode_strip(noise, most)
        assert len(content) <= most
        assert Image.open(io.BytesIO(content)).format == "WEBP"
    flat = encode_strip(np.full((3, 90, 30, 3), 200, np.uint8), 6000)
    picture = np.asarray(Image.open(io.BytesIO(flat)).convert("L"))
    assert picture.shape == (48, 3 * 72)
    assert (picture[24, 36] > 150, picture[24, 2] < 50) == (True, True)  # a narrow frame stands on black


def test_strips_are_made_once_and_a_video_without_one_is_named(
    planted: Planted, asked: list[tuple[str, list[int]]]
) -> None:
    job = load_job(planted.job("headhunt"))
    inputs = open_analysis(job)
    missing = write_film_strips(job, inputs)
    assert [name for name, _ in asked] == ["video22", "video23", "video24", "video25", "video26"]
    n_frames = planted.dataset.by_id["video22"].n_frames or 0
    places = asked[0][1]
    assert len(places) == COUNT
    assert 0 <= places[0] <= places[-1] < n_frames
    assert np.ptp(np.diff(places)) <= 1
    assert missing == [
        "No film strip of video24: the file is damaged",
        "No film strip of video27: its file is not in the video folder.",
    ]
    asked.clear()
    write_film_strips(job, inputs)
    assert [name for name, _ in asked] == ["video24"]
    assert set(read_film_strips(job.out, inputs.probed)) == {"video22", "video23", "video25", "video26"}
    assert read_film_strips(job.out, ()) == {}  # of other files


def test_the_command_makes_them_and_says_what_is_missing(
    planted: Planted, asked: list[tuple[str, list[int]]], capsys: pytest.CaptureFixture[str]
) -> None:
    page = planted.folder / "page.html"
    code = main(["report", str(planted.job("headhunt")), "--thumbnails", "--out", str(page)])
    assert code == 3
    assert "No film strip of video27" in capsys.readouterr().out
    found = {video["name"] for video in Page.of(page.read_text()).data["videos"] if "strip" in video}
    assert found == {"video22", "video23", "video25", "video26"}
