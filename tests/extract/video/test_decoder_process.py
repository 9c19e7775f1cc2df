"""The decoder's process: it may hang, crash or never start, and the next request works."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes.process_state import state_of
from tests.support.processes.stand_in import write_stand_in
from tests.support.processes.waiting import PATIENCE, wait_until
from tests.support.videos.drawn import numbers_of
from vadprobe.extract.video import decoder as decoding
from vadprobe.extract.video.decoder import Decoder
from vadprobe.extract.video.messages import Connection
from vadprobe.store.errors import VideoError


def child_of(decoder: Decoder) -> int:
    assert decoder._process is not None
    return decoder._process.pid


def suspend(process: int) -> None:
    """Suspend a process, and wait until it is."""
    os.kill(process, signal.SIGSTOP)
    wait_until(lambda: state_of(process) == "T")


@pytest.mark.parametrize("indices", [[], [-1]])
def test_wrong_indices_do_not_kill_the_decoder(decoder: Decoder, numbered: Path, indices: list[int]) -> None:
    decoder.probe(numbered)
    process = child_of(decoder)
    with pytest.raises(VideoError):
        decoder.read_clip(numbered, indices)
    assert child_of(decoder) == process


def test_a_hanging_decoder_is_killed_at_the_deadline(numbered: Path) -> None:
    with Decoder(PATIENCE) as decoder:
        decoder.probe(numbered)
        process = child_of(decoder)
        suspend(process)
        decoder.deadline = 0.2
        with pytest.raises(VideoError, match=r"made no progress for 0\.2 s; the decoder was killed"):
            decoder.read_clip(numbered, [1])
        assert state_of(process) == "Z"
        decoder.deadline = PATIENCE
        assert numbers_of(decoder.read_clip(numbered, [1])) == [1]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crashed_decoder_is_replaced(decoder: Decoder, numbered: Path, sent: signal.Signals) -> None:
    decoder.probe(numbered)
    process = child_of(decoder)
    os.kill(process, sent)
    with pytest.raises(VideoError, match=f"ended with signal {sent.name}"):
        decoder.read_clip(numbered, [1])
    assert numbers_of(decoder.read_clip(numbered, [2])) == [2]
    assert child_of(decoder) != process


def test_a_crash_while_the_answer_is_awaited(decoder: Decoder, numbered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder.probe(numbered)
    process, receive, awaited = child_of(decoder), Connection.receive, []
    suspend(process)

    def kill_and_receive(connection: Connection) -> tuple[dict[str, Any], bytearray]:
        if not awaited:  # the request is sent, and a suspended process has not answered it
            os.kill(process, signal.SIGKILL)
        awaited.append(True)
        return receive(connection)

    monkeypatch.setattr(Connection, "receive", kill_and_receive)
    with pytest.raises(VideoError, match="ended with signal SIGKILL"):
        decoder.read_clip(numbered, [1])
    assert awaited
    assert decoder.probe(numbered)[0] == 100


def test_a_decoder_that_never_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, numbered: Path) -> None:
    monkeypatch.setattr(sys, "executable", write_stand_in(tmp_path, "import signal; signal.pause()"))
    monkeypatch.setattr(decoding, "START_SECONDS", 0.2)
    with Decoder() as decoder, pytest.raises(RuntimeError, match=r"did not start within 0\.2 s"):
        decoder.probe(numbered)


def test_a_decoder_that_fails_at_its_start_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, numbered: Path
) -> None:
    script = write_stand_in(tmp_path, "import sys; sys.exit('libdecord.so cannot be opened')")
    monkeypatch.setattr(sys, "executable", script)
    with Decoder() as decoder, pytest.raises(RuntimeError, match=r"exit code 1: libdecord\.so cannot be opened"):
        decoder.probe(numbered)


ANSWERING = """
import os, signal, socket, sys
from vadprobe.extract.video.messages import Connection

end = socket.socket(fileno=int(sys.argv[-1]))
connection = Connection(end)
connection.send({{"ready": True}})
connection.receive()
{answer}
connection.receive()
"""


def test_a_decoder_that_answers_with_too_few_frames(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, numbered: Path
) -> None:
    body = ANSWERING.format(answer="connection.send({'shape': [1, 2, 2, 3]}, bytes(12))")
    monkeypatch.setattr(sys, "executable", write_stand_in(tmp_path, body))
    with Decoder() as decoder, pytest.raises(VideoError, match="3 frames were asked for, the decoder returned 1"):
        decoder.read_clip(numbered, [0, 1, 2])


@pytest.mark.parametrize("sent", ['{"shape": [1, 2, 2, 3], "n_bytes": 12}\n12345', '{"shape": [1, 2'])
@pytest.mark.parametrize(
    ("end", "deadline", "reason"),
    [
        ("signal.pause()", 0.2, r"made no progress for 0\.2 s; the decoder was killed"),
        ("os._exit(3)", PATIENCE, "the decoder process ended with exit code 3"),
    ],
    ids=["hangs", "dies"],
)
def test_a_decoder_that_ends_in_the_middle_of_its_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, numbered: Path, sent: str, end: str, deadline: float, reason: str
) -> None:
    body = ANSWERING.format(answer=f"end.sendall({sent.encode()}); {end}")
    monkeypatch.setattr(sys, "executable", write_stand_in(tmp_path, body))
    with Decoder(deadline) as decoder, pytest.raises(VideoError, match=reason):
        decoder.read_clip(numbered, [0])


@pytest.mark.parametrize("end", ["signal.pause()", "os.kill(os.getpid(), signal.SIGSEGV)"], ids=["hangs", "crashes"])
def test_what_decord_hangs_or_dies_on_is_read_by_pyav(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, numbered: Path, end: str
) -> None:
    body = (
        f"import decord, os, signal, sys\ndecord.VideoReader = lambda *_, **__: {end}\n"
        "from vadprobe.extract.video.decode_worker import serve\nserve(int(sys.argv[-1]))"
    )
    monkeypatch.setattr(sys, "executable", write_stand_in(tmp_path, body))
    receive = Connection.receive

    def receive_impatiently(connection: Connection) -> tuple[dict[str, Any], bytearray]:
        """Leave little time to decord where it hangs, and as much as it may need to PyAV."""
        header, payload = receive(connection)
        hangs = "pause" in end and header.get("trying") == "decord"
        connection.set_timeout(0.2 if hangs else PATIENCE)
        return header, payload

    monkeypatch.setattr(Connection, "receive", receive_impatiently)
    with Decoder(PATIENCE, "decord") as decoder:
        assert numbers_of(decoder.read_clip(numbered, [3, 50])) == [3, 50]
        assert decoder.reader == "PyAV"
        process = child_of(decoder)
        assert decoder.probe(numbered) == (100, pytest.approx(25.0))
        assert decoder.count(numbered, True) == (100, 100)
        assert numbers_of(decoder.read_clip(numbered, [7])) == [7]
        assert child_of(decoder) == process  # decord is not asked about that file again


def test_closing_ends_the_child_and_may_be_repeated(numbered: Path) -> None:
    decoder = Decoder()
    decoder.close()
    decoder.probe(numbered)
    process = child_of(decoder)
    decoder.close()
    decoder.close()
    assert state_of(process) == "Z"


def test_the_main_process_does_not_load_the_decoder() -> None:
    code = "import sys, vadprobe.extract.video.decoder; sys.exit('decord' in sys.modules or 'av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
