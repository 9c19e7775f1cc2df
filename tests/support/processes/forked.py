"""Start Python programs from a process that has imported torch and transformers already.

These imports take a new process seconds of processor time. So in the short profile, one server for all tests of this
process forks itself for each program; the test process cannot fork, because threads of libraries run in it. In the long
profile every program is a new process.
"""

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any

from tests.support.profiles import LONG

_SERVER = get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["vadprobe.extract.model.backbone", "vadprobe.extract.pipeline.extraction", "vadprobe.flows.command_line"]
)


class Forked:
    """A program in a fork of the server, with those methods of `subprocess.Popen` that the tests use.

    `stdout` may be `subprocess.PIPE`.
    """

    def __init__(self, program: str, arguments: Sequence[str], stdout: int, stderr: int) -> None:
        ours, theirs = os.pipe() if stdout == subprocess.PIPE else (None, os.dup(stdout))
        self._process = _SERVER.Process(target=_Program(program, list(arguments), theirs, stderr))
        self._process.start()
        os.close(theirs)
        self.pid = self._process.pid
        self.stdout = None if ours is None else os.fdopen(ours)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float = 600.0) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a forked program", timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.pid is not None and self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Program:
    """Runs a program in a fork as `python -c` would; the fork inherits its streams when it is started."""

    def __init__(self, program: str, arguments: list[str], stdout: int, stderr: int) -> None:
        self.program, self.arguments, self.streams = program, arguments, (stdout, stderr)
        self.environment, self.folder = dict(os.environ), str(Path.cwd())

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "streams": tuple(DupFd(handle) for handle in self.streams)}

    def __call__(self) -> None:
        os._exit(self._run())  # no exit handlers of the server

    def _run(self) -> int:
        os.setsid()
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)
        handles: Any = self.streams
        for number, handle in enumerate(handles, start=1):
            os.dup2(handle.detach(), number)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.argv = ["-c", *self.arguments]
        try:
            exec(compile(self.program, "<forked>", "exec"), {"__name__": "__main__"})
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            if isinstance(ended.code, str):
                sys.stderr.write(f"{ended.code}\n")
        except BaseException:  # noqa: BLE001 - said as any program would
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        return code


def start(
    program: str, arguments: Sequence[str], stdout: IO[Any] | int, stderr: IO[Any] | int
) -> "Forked | subprocess.Popen[str]":
    """Start `python -c program arguments`; in the short profile, run it in a fork of the server."""
    if LONG:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True, start_new_session=True
        )
    handles = [stream if isinstance(stream, int) else stream.fileno() for stream in (stdout, stderr)]
    return Forked(program, arguments, *handles)
