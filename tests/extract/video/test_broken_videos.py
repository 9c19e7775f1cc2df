"""A corpus of broken and odd videos: nothing hangs or crashes, every good frame is kept, every failure has a reason."""

import contextlib
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes.stand_in import decoder_without_rights
from tests.support.processes.waiting import PATIENCE
from tests.support.videos.broken import CASES, Case, Corpus
from tests.support.videos.drawn import number_of, write
from vadprobe.extract.video.decoder import CRASHED, NO_PROGRESS, Decoder
from vadprobe.store.errors import VideoError


@pytest.fixture(scope="module", params=["auto", "decord"])
def decoder(request: pytest.FixtureRequest) -> Iterator[Decoder]:
    """Every file is read by either reader, which must give the same frames."""
    with Decoder(PATIENCE, request.param) as opened:
        yield opened


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("corpus"))


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
FORBIDDEN = next(case for case in CASES if case.name.startswith("no_permission"))
HOPELESS = [case for case in CASES if not case.kept and case != FORBIDDEN]


def check_refusal(decoder: Decoder, path: Path, case: Case) -> None:
    with pytest.raises(VideoError, match=case.reason) as caught:
        decoder.probe(path)
    assert is_sentence(str(caught.value)), caught.value
    with pytest.raises(VideoError) as again:
        decoder.read_clip(path, [0])
    assert not any(part in str(error.value) for error in (caught, again) for part in (NO_PROGRESS, CRASHED))


@pytest.mark.parametrize("case", HOPELESS, ids=lambda case: case.name)
def test_what_cannot_be_read_has_a_reason(decoder: Decoder, corpus: Corpus, case: Case) -> None:
    check_refusal(decoder, corpus[case], case)


def test_what_may_not_be_read_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", decoder_without_rights(tmp_path))
    # Only root may enter pytest's folders.
    with tempfile.TemporaryDirectory() as name, Decoder(PATIENCE) as decoder:
        folder = Path(name)
        folder.chmod(0o755)
        FORBIDDEN.make(folder / FORBIDDEN.name)
        check_refusal(decoder, folder / FORBIDDEN.name, FORBIDDEN)
        assert decoder.probe(write(folder / "permitted.mp4"))[0] == 60


@pytest.mark.parametrize("case", SALVAGEABLE, ids=lambda case: case.name)
def test_every_good_frame_is_kept_and_the_others_have_reasons(decoder: Decoder, corpus: Corpus, case: Case) -> None:
    path = corpus[case]
    n_frames, fps = decoder.probe(path)
    assert n_frames == case.n_frames
    assert fps > 0
    shown, failed, sizes = read_all(decoder, path, n_frames)
    assert shown.keys() >= case.kept, sorted(case.kept - shown.keys())
    assert {index: number for index, number in shown.items() if number != case.shows(index)} == {}
    assert shown.keys() | failed.keys() == set(range(n_frames))
    assert all(re.search(case.reason, reason) and is_sentence(reason) for reason in failed.values()), failed
    assert not any(part in reason for reason in failed.values() for part in (NO_PROGRESS, CRASHED))
    assert decoder.reader == "PyAV" or (decoder._with_decord and case.reader in (None, "decord"))
    assert sizes == {case.size}
    with pytest.raises(VideoError, match="the video ends before the frames asked for"):
        decoder.read_clip(path, [n_frames])


@pytest.mark.parametrize("name", ["cut.mkv", "hole.mkv", "hole_behind_a_key_frame.mkv", "hole.flv"])
def test_damage_is_seen_again_when_a_file_is_opened_again(decoder: Decoder, corpus: Corpus, name: str) -> None:
    """FFmpeg tells of it in the same words, which PyAV leaves out by default."""
    case, sound = (next(case for case in CASES if case.name == wanted) for wanted in (name, "one_frame.mp4"))
    found = []
    for _ in range(2):
        n_frames, _ = decoder.probe(corpus[case])
        found.append((n_frames, *read_all(decoder, corpus[case], n_frames)))
        decoder.probe(corpus[sound])
    assert found[0] == found[1]


def test_one_process_outlives_the_whole_corpus(corpus: Corpus) -> None:
    with Decoder(PATIENCE) as decoder:
        processes = set()
        for case in CASES:
            with contextlib.suppress(VideoError):
                decoder.probe(corpus[case])
            processes.add(decoder._process.pid if decoder._process else None)
    assert len(processes - {None}) == 1
