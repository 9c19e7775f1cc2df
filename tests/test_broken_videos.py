"""A corpus of broken and odd videos: nothing hangs or crashes, every good frame is kept, every failure has a reason."""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from broken_videos import CASES, Case, number_of

from vadprobe.extract.decoding import CRASHED, NO_PROGRESS, Decoder
from vadprobe.store.errors import VideoError

DEADLINE = 10.0


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """One for the whole corpus: a broken file must not spoil the next."""
    with Decoder(DEADLINE) as opened:
        yield opened


def clips(n_frames: int) -> Iterator[list[int]]:
    """Neighbouring frames, a few at a time, as an extraction walks through a video."""
    for start in range(0, n_frames, 3):
        yield list(range(start, min(start + 3, n_frames)))


def is_sentence(reason: str) -> bool:
    return len(reason.split()) > 3 and not re.search(r"0x[0-9a-f]{6}|Traceback|\[\d\d:\d\d|/tmp", reason)


def read_all(
    decoder: Decoder, path: Path, n_frames: int
) -> tuple[dict[int, int], dict[int, str], set[tuple[int, ...]]]:
    """Numbers shown by index, reasons by the index of a frame that failed, and sizes."""
    shown, failed, sizes = {}, {}, set()
    for indices in clips(n_frames):
        # A clip fails as a whole, so its frames are tried one by one to see which are to blame.
        for asked in (indices, *([index] for index in indices)):
            try:
                found = decoder.read_clip(path, asked)
            except VideoError as error:
                failed.update({asked[0]: str(error)} if len(asked) == 1 else {})
                continue
            shown.update(zip(asked, map(number_of, found), strict=True))
            sizes.add(found.shape[1:3])
            if len(asked) > 1:
                break
    return shown, failed, sizes


SALVAGEABLE = [case for case in CASES if case.kept]
HOPELESS = [case for case in CASES if not case.kept]


def make(case: Case, folder: Path) -> Path:
    path = folder / case.name
    case.make(path)
    return path


@pytest.mark.parametrize("case", HOPELESS, ids=lambda case: case.name)
def test_what_cannot_be_read_has_a_reason(decoder: Decoder, tmp_path: Path, case: Case) -> None:
    if case.name.startswith("no_permission") and os.geteuid() == 0:
        pytest.skip("root may read every file")
    path = make(case, tmp_path)
    begin = time.monotonic()
    with pytest.raises(VideoError, match=case.reason) as caught:
        decoder.probe(path)
    assert is_sentence(str(caught.value)), caught.value
    with pytest.raises(VideoError):
        decoder.read_clip(path, [0])
    assert time.monotonic() - begin < DEADLINE


@pytest.mark.parametrize("case", SALVAGEABLE, ids=lambda case: case.name)
def test_every_good_frame_is_kept_and_the_others_have_reasons(decoder: Decoder, tmp_path: Path, case: Case) -> None:
    path = make(case, tmp_path)
    begin = time.monotonic()
    n_frames, fps = decoder.probe(path)
    assert n_frames == case.n_frames
    assert fps > 0
    shown, failed, sizes = read_all(decoder, path, n_frames)
    assert shown.keys() >= case.kept, sorted(case.kept - shown.keys())
    assert {index: number for index, number in shown.items() if number != case.shows(index)} == {}
    assert shown.keys() | failed.keys() == set(range(n_frames))
    assert all(re.search(case.reason, reason) and is_sentence(reason) for reason in failed.values()), failed
    assert not any(part in reason for reason in failed.values() for part in (NO_PROGRESS, CRASHED))
    assert case.reader in (None, decoder.reader)
    assert sizes == {case.size}
    with pytest.raises(VideoError, match="the video ends before the frames asked for"):
        decoder.read_clip(path, [n_frames])
    assert time.monotonic() - begin < DEADLINE


def test_one_process_outlives_the_whole_corpus(tmp_path: Path) -> None:
    with Decoder(DEADLINE) as decoder:
        processes = set()
        for case in CASES:
            with contextlib.suppress(VideoError):
                decoder.probe(make(case, tmp_path))
            processes.add(decoder._process.pid if decoder._process else None)
    assert len(processes - {None}) == 1
