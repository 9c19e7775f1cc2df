"""A contact sheet of the generated world: every kind of anomaly and every look-alike, three frames of each."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from vadprobe.extract.demo.scenes.camera import Film
from vadprobe.extract.demo.scenes.direction import write_shot
from vadprobe.extract.demo.scenes.shot import (
    NAMED_KINDS,
    NAMED_LOOK_ALIKES,
    PLACES,
    UNNAMED_KINDS,
    UNNAMED_LOOK_ALIKES,
    Shot,
)

_SEED = 880_088  # no set of videos and no pre-training shard has this seed
_PARTS = (0.25, 0.5, 0.75)  # places of the three frames within a happening
_WIDTH, _HEIGHT, _TITLE = 160, 120, 14
_COLUMNS = 2


def shot_with(kind: str, number: int) -> tuple[Shot, tuple[int, int]]:
    """Write a shot of eight seconds that shows `kind`; return it with the frames `[start, stop)` where it does."""
    anomalous = kind in (*NAMED_KINDS, *UNNAMED_KINDS)
    place = "street" if kind == "Delivery" else PLACES[number % len(PLACES)]
    shot = write_shot(
        np.random.default_rng([_SEED, number]),
        place=place,
        n_frames=200,
        fps=25,
        kind=kind if anomalous else None,
        look_alikes=() if anomalous else (kind,),
        n_harmless=0 if anomalous else 1,
    )
    if anomalous:
        return shot, shot.intervals[0]
    return shot, (shot.harmless[0].start, shot.harmless[0].stop)


def draw_contact_sheet(path: Path) -> Path:
    """Draw the sheet as a PNG of two columns; anomalies first. Returns the path."""
    kinds = (*NAMED_KINDS, *UNNAMED_KINDS, *NAMED_LOOK_ALIKES, *UNNAMED_LOOK_ALIKES)
    rows = -(-len(kinds) // _COLUMNS)
    wide = len(_PARTS) * _WIDTH
    sheet = Image.new("RGB", (_COLUMNS * wide, rows * (_HEIGHT + _TITLE)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, kind in enumerate(kinds):
        left, top = number // rows * wide, number % rows * (_HEIGHT + _TITLE)
        shot, (start, stop) = shot_with(kind, number)
        frames = Film(shot, [_SEED, number, 0, 0]).frames(int(start + part * (stop - start)) for part in _PARTS)
        for place, frame in enumerate(frames):
            sheet.paste(Image.fromarray(frame).resize((_WIDTH, _HEIGHT)), (left + place * _WIDTH, top + _TITLE))
        pen.text((left + 3, top + 1), _title(kind, shot), fill="black")
    part = path.with_name(f"{path.name}.partial")
    sheet.save(part, format="PNG")
    part.replace(path)
    return path


def _title(kind: str, shot: Shot) -> str:
    about = "anomaly" if shot.kind else "harmless"
    known = "" if kind in (*NAMED_KINDS, *NAMED_LOOK_ALIKES) else ", never shown to the captioner"
    return f"{kind} ({about}{known}), {shot.weather}"
