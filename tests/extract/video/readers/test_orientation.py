"""All eight orientations are shown as players show them, whoever declares them and whoever reads them."""

import gc
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.videos.oriented import EIGHT, Flat, corners, in_track_header, message, shown, write_oriented
from vadprobe.extract.video.decoder import Decoder
from vadprobe.extract.video.packets.scanning import read_packets
from vadprobe.extract.video.readers.orientation import is_mirrored, upright
from vadprobe.extract.video.readers.pyav_reader import PyavReader
from vadprobe.extract.video.readers.salvage import SalvageReader


def quiet() -> None:
    """Nobody waits."""


def check(decoder: Decoder, path: Path, matrix: Flat) -> None:
    """Every frame has its corners where they belong, read through the process and by PyAV alone."""
    indices = [0, 1, 11, 12, 13, 25, 29]
    expected = np.stack([shown(corners(index), matrix) for index in indices])
    assert decoder.probe(path)[0] == 30
    for frames in (
        decoder.read_clip(path, indices),
        SalvageReader(str(path), read_packets(str(path), quiet), quiet).read(indices, quiet),
    ):
        assert frames.shape == expected.shape
        assert np.abs(frames.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("name", EIGHT)
def test_the_matrix_of_the_track_header(decoder: Decoder, tmp_path: Path, name: str) -> None:
    path, matrix = tmp_path / "video.mp4", EIGHT[name][0]
    write_oriented(path, "libx264")
    in_track_header(path, matrix)
    check(decoder, path, matrix)


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize(("codec", "ending"), [("libx264", "mp4"), ("libx265", "mp4"), ("libx264", "ts")])
def test_the_message_within_the_frames(decoder: Decoder, tmp_path: Path, codec: str, ending: str, name: str) -> None:
    path, (matrix, flips) = tmp_path / f"video.{ending}", EIGHT[name]
    write_oriented(path, codec, messages={0: message(codec, *flips)})
    check(decoder, path, matrix)


def test_a_message_holds_until_the_next(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    turns = {12: EIGHT["left_right"], 20: EIGHT["up_down"]}
    write_oriented(path, "libx264", messages={place: message("libx264", *flips) for place, (_, flips) in turns.items()})
    for index in (0, 11, 12, 19, 20, 29):
        matrix = next((turns[place][0] for place in (20, 12) if index >= place), (1, 0, 0, 1))
        frame = SalvageReader(str(path), read_packets(str(path), quiet), quiet).read([index], quiet)[0]
        assert np.abs(frame.astype(int) - shown(corners(index), matrix)).mean() < 8, index


def test_a_part_without_a_message_is_shown_as_stored(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "video.ts"
    write_oriented(path, "libx264", messages={0: message("libx264", *EIGHT["left_right"][1])})
    turned = path.read_bytes()
    write_oriented(path, "libx264")
    path.write_bytes(turned + path.read_bytes())
    assert decoder.probe(path)[0] == 60
    for index, matrix in ((29, EIGHT["left_right"][0]), (30, (1, 0, 0, 1)), (59, (1, 0, 0, 1))):
        frame = decoder.read_clip(path, [index])[0]
        assert np.abs(frame.astype(int) - shown(corners(index % 30), matrix)).mean() < 8, index


@pytest.mark.parametrize("name", EIGHT)
def test_pictures_are_put_upright_pixel_by_pixel(name: str) -> None:
    stored, matrix = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8), EIGHT[name][0]
    assert np.array_equal(upright(stored, matrix), shown(stored, matrix))
    scaled = tuple(3 * value for value in matrix)
    assert np.array_equal(upright(stored, scaled), shown(stored, matrix))
    assert is_mirrored(matrix) == (name in ("left_right", "up_down", "transposed", "transposed_back"))


def test_a_slanted_matrix_is_taken_for_the_nearest_turn() -> None:
    stored = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(upright(stored, (90, 30, -30, 90)), stored)
    assert np.array_equal(upright(stored, (30, 90, -90, 30)), shown(stored, EIGHT["turned_right"][0]))
    assert np.array_equal(upright(stored, (0, 0, 0, 0)), stored)


def test_frames_that_were_looked_at_are_freed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write_oriented(path, "libx264", n_frames=60)
    reader = PyavReader(str(path), read_packets(str(path), quiet))
    gc.collect()
    gc.disable()  # which would free circles, hundreds of large pictures later
    try:
        for first in range(0, 60, 10):
            reader.read([first, first + 5], quiet)
        alive = sum(type(one) is av.VideoFrame for one in gc.get_objects())
    finally:
        gc.enable()
    assert alive <= 8, "frames wait for the garbage collector"
