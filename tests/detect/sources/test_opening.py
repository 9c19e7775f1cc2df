"""Standard input, files that grow, folders, and arguments that are none of these."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import profiles
from tests.support.processes.waiting import wait_until
from tests.support.videos.drawn import number_of, write
from vadprobe.detect.sources.files import FileSource
from vadprobe.detect.sources.folders import WatchedFolder
from vadprobe.detect.sources.frames import SourceError
from vadprobe.detect.sources.masking import masked, name_of_url
from vadprobe.detect.sources.opening import open_source, open_sources
from vadprobe.detect.sources.options import SourceOptions
from vadprobe.store.errors import VadprobeError

READ_STANDARD_INPUT = """
import sys
from vadprobe.detect.sources.frames import SourceError
from vadprobe.detect.sources.opening import open_source
from vadprobe.detect.sources.options import SourceOptions
source = open_source("-", SourceOptions(segment_frames=8, timeout_seconds=float(sys.argv[1])))
count = 0
try:
    for frame in source.frames():
        assert frame.index == count
        count += 1
    print(source.name, count)
except SourceError as error:
    print(count, error)
"""

ENOUGH = 400
"""Frames, 16 seconds: FFmpeg reads up to five of them before it gives the first."""

FORMS = {"ts": {}, "mkv": {}, "mp4": {"movflags": "frag_keyframe+empty_moov"}}


def start_reader(timeout: float) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", READ_STANDARD_INPUT, str(timeout)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize("ending", FORMS)
def test_standard_input(tmp_path: Path, ending: str) -> None:
    content = write(tmp_path / f"piped.{ending}", 30, container=FORMS[ending]).read_bytes()
    said, _ = start_reader(60).communicate(content)
    assert said.decode().split() == ["stdin", "30"]


def test_silent_standard_input_breaks_off(tmp_path: Path) -> None:
    content = write(tmp_path / "piped.ts", ENOUGH, codec="mpeg4").read_bytes()
    with start_reader(0.5) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(content)
        process.stdin.flush()
        said = process.stdout.read().decode()  # ends although the pipe is open
    count, _, reason = said.partition(" ")
    assert 0 < int(count) <= ENOUGH
    assert "standard input broke off after" in reason
    assert "no data for 0.5 s" in reason


@pytest.mark.parametrize("ending", profiles.some(list(FORMS), 1))
def test_a_file_is_read_while_it_grows(tmp_path: Path, ending: str) -> None:
    content = write(tmp_path / f"whole.{ending}", ENOUGH, codec="mpeg4", container=FORMS[ending]).read_bytes()
    growing, seen = tmp_path / f"growing.{ending}", threading.Event()
    growing.write_bytes(content[: len(content) * 2 // 3])

    def grow() -> None:
        seen.wait()
        with growing.open("ab") as file:
            file.write(content[len(content) * 2 // 3 :])

    thread = threading.Thread(target=grow)
    thread.start()
    # The second part is written only after frames of the first have come out.
    source = open_source(str(growing), SourceOptions(segment_frames=8, follow=True, idle_seconds=2))
    numbers = []
    for frame in source.frames():
        numbers.append(number_of(frame.pixels))
        seen.set()
    thread.join()
    assert numbers == list(range(ENOUGH))
    assert source.name == "growing"


def test_a_file_that_shrinks_while_it_is_followed_breaks_off(tmp_path: Path) -> None:
    path = write(tmp_path / "shrinks.ts", ENOUGH, codec="mpeg4")
    source = open_source(str(path), SourceOptions(segment_frames=8, follow=True, idle_seconds=60))
    frames = source.frames()
    next(frames)
    path.write_bytes(b"")
    with pytest.raises(SourceError, match=r"^shrinks\.ts broke off after .*: the file was cut or overwritten"):
        list(frames)


def test_a_folder_gives_its_files_in_order_and_reasons_for_the_unreadable(tmp_path: Path) -> None:
    write(tmp_path / "b.mp4", 3)
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub/c.mkv", 4)
    (tmp_path / "a.mp4").write_text("no video")
    (tmp_path / "notes.txt").write_text("no video")
    write(tmp_path / ".hidden.mp4", 3)
    found = {}
    for source in open_sources([str(tmp_path), str(tmp_path / "b.mp4")]):
        try:
            found[source.name] = str(len(list(source.frames())))
        except SourceError as error:
            found[source.name] = str(error)
        source.close()
    assert list(found) == ["a", "b", "sub/c"]
    assert found["a"].startswith("a.mp4: the file cannot be opened")
    assert (found["b"], found["sub/c"]) == ("3", "4")


def test_a_watched_folder_gives_new_files_once_they_are_complete(tmp_path: Path) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    content = write(tmp_path / "made.mp4", 5).read_bytes()
    (folder / "early.mp4").write_bytes(content)
    watched = WatchedFolder(folder, SourceOptions(watch=True, settle_seconds=0.2))
    found: list[tuple[str, int]] = []

    def watch() -> None:
        for source in watched:
            found.append((source.name, len(list(source.frames()))))
            source.close()

    thread = threading.Thread(target=watch)
    thread.start()
    wait_until(lambda: len(found) == 1)
    with (folder / "late.mp4").open("wb") as file:
        for start in range(0, len(content), 500):  # as a recorder writes: not to be taken up before it is whole
            file.write(content[start : start + 500])
            file.flush()
    wait_until(lambda: len(found) == 2)
    watched.close()
    thread.join()
    assert found == [("early", 5), ("late", 5)]


def test_watching_ends_by_itself_when_no_file_comes(tmp_path: Path) -> None:
    write(tmp_path / "one.mp4", 3)
    options = SourceOptions(watch=True, settle_seconds=0.1, watch_seconds=0.3)
    names = []
    for source in open_sources([str(tmp_path)], options):
        names.append(source.name)
        source.close()
    assert names == ["one"]


def test_wrong_arguments_are_sentences_before_anything_is_read(tmp_path: Path) -> None:
    one = write(tmp_path / "one.mp4", 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(VadprobeError, match="which does not exist"):
        open_sources([str(one), str(tmp_path / "missing.mp4")])
    with pytest.raises(VadprobeError, match="which does not exist"):
        open_source(str(tmp_path / "missing.mp4"))
    with pytest.raises(VadprobeError, match="is a folder"):
        open_source(str(tmp_path))
    with pytest.raises(VadprobeError, match="holds no video"):
        open_sources([str(tmp_path / "empty")])
    with pytest.raises(VadprobeError, match="last argument"):
        open_sources([str(tmp_path), str(one)], SourceOptions(watch=True))
    with pytest.raises(VadprobeError, match="queue_segments must be a whole number from 1, got 0"):
        SourceOptions(queue_segments=0)
    with pytest.raises(VadprobeError, match="timeout_seconds must be a positive number"):
        SourceOptions(timeout_seconds=0)
    source = open_source(str(one))
    assert isinstance(source, FileSource)
    source.close()


@pytest.mark.parametrize(
    ("url", "shown", "name"),
    [
        ("rtsp://cam.example:554/live/1", "rtsp://cam.example:554/live/1", "cam.example-554-live-1"),
        ("rtsp://user:pa@ss@cam/live", "rtsp://***@cam/live", "cam-live"),
        ("https://h/a.ts?token=abc&x=1#part", "https://h/a.ts?token=***&x=***#***", "h-a.ts"),
        ("http://h/?abc", "http://h/?abc=***", "h"),
        ("http://[::1]:80/x", "http://[::1]:80/x", "1-80-x"),
        ("http://[bad/x?token=1", "http://***", "stream"),
    ],
)
def test_urls_lose_their_secrets(url: str, shown: str, name: str) -> None:
    assert (masked(url), name_of_url(url)) == (shown, name)


def test_delays_double_up_to_the_longest() -> None:
    options = SourceOptions(first_delay=1, longest_delay=30)
    assert [options.delay(attempt) for attempt in (1, 2, 3, 5, 6, 1000)] == [1, 2, 4, 16, 30, 30]
