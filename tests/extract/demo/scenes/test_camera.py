"""Films: frames in any order, weather that changes the picture, a sheet of all kinds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vadprobe.extract.demo.contact_sheet import draw_contact_sheet, shot_with
from vadprobe.extract.demo.scenes.camera import Film
from vadprobe.extract.demo.scenes.shot import Shot
from vadprobe.extract.demo.scenes.stories.cast import STORIES


@pytest.fixture(scope="module")
def shot() -> Shot:
    return replace(shot_with("Cycling", 0)[0], weather="clear", shake=0.0, occluders=0)


@pytest.mark.parametrize("changes", [{}, {"weather": "rain"}, {"weather": "dusk", "shake": 2.0}, {"occluders": 2}])
def test_a_frame_does_not_depend_on_the_others_asked_for(shot: Shot, changes: dict[str, object]) -> None:
    shot = replace(shot, **changes)
    together = dict(zip([3, 40, 90], Film(shot, [1, 2, 3, 4]).frames([3, 40, 90]), strict=True))
    alone = Film(shot, [1, 2, 3, 4])
    for frame in (90, 3):
        (found,) = alone.frames([frame])
        assert found.shape == (240, 320, 3)
        assert found.dtype == np.uint8
        assert np.array_equal(found, together[frame])


def mean_of(shot: Shot) -> float:
    return float(np.mean([frame.mean() for frame in Film(shot, [1, 2, 3, 4]).frames([0, 50])]))


def test_dusk_and_rain_are_darker_than_a_clear_day(shot: Shot) -> None:
    clear, dusk, rain = (mean_of(replace(shot, weather=weather)) for weather in ("clear", "dusk", "rain"))
    assert dusk < 0.75 * clear
    assert rain < clear


def test_a_camera_that_shakes_moves_the_background(shot: Shot) -> None:
    still, shaken = replace(shot, crowd=0, cars=0, intervals=(), harmless=()), 2.5
    frames = range(0, 60, 3)

    def changes(one: Shot) -> float:
        pictures = np.stack(list(Film(one, [1, 2, 3, 4]).frames(frames))).astype(float)
        return float(np.abs(np.diff(pictures, axis=0)).mean())

    assert changes(replace(still, shake=shaken)) > 1.5 * changes(still)


def test_cameras_of_one_set_differ_and_videos_of_one_camera_share_its_background(shot: Shot) -> None:
    one, same, other = (Film(shot, seed).background for seed in ([2, 0, 1, 0], [2, 0, 1, 3], [2, 0, 2, 0]))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_contact_sheet_shows_every_kind(tmp_path: Path) -> None:
    with Image.open(draw_contact_sheet(tmp_path / "sheet.png")) as sheet:
        rows = -(-len(STORIES) // 2)
        assert sheet.size == (960, rows * 134)
        picture = np.asarray(sheet, dtype=float)
    for place in range(len(STORIES)):
        row, column = place % rows, place // rows
        part = picture[row * 134 + 14 : (row + 1) * 134, column * 480 : (column + 1) * 480]
        assert part.std() > 10
