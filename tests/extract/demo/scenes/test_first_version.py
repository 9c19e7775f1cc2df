"""Version 1 of the world: its sets on people's disks can be made again."""

import numpy as np
import pytest

from tests.support.paths import ROOT
from vadprobe.extract.demo.scenes.camera import Film
from vadprobe.extract.demo.scenes.shot import KINDS
from vadprobe.extract.demo.scripts import write_scripts

PICTURES = ROOT / "tests" / "data" / "first_world.npz"
"""One frame of each kind in seed 0, from the middle of its first interval, means of 8 x 8 pixels."""


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_seed_shows_what_it_showed(kind: str) -> None:
    with np.load(PICTURES) as kept:
        wanted = kept[kind].astype(float)
    script = next(one for one in write_scripts(0, 48, version=1) if one.shot.kind == kind)
    start, stop = script.shot.intervals[0]
    (frame,) = Film(script.shot, script.seed).frames([(start + stop) // 2])
    found = frame.reshape(30, 8, 40, 8, 3).mean((1, 3))
    # Another processor's sine may move an edge by a pixel; another script moves whole figures.
    assert np.abs(found - wanted).mean() < 1.0
    others = [one for one in KINDS if one != kind]
    with np.load(PICTURES) as kept:
        assert min(np.abs(found - kept[other]).mean() for other in others) > 5.0


def test_an_old_script_has_its_old_names_lengths_and_intervals() -> None:
    scripts = write_scripts(0, 48, version=1)
    assert [s.video_id for s in scripts[:4]] == ["Normal_00_0", "Panic_00_1", "Normal_00_2", "Explosion_00_3"]
    assert {s.shot.version for s in scripts} == {1}
    assert all(s.seed[:2] == (1, 0) for s in scripts)
    assert {s.shot.kind for s in scripts} == {None, *KINDS}
