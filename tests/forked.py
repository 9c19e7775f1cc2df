"""Start Python programs by a fork of the test process, which has imported torch and transformers already.

A new process needs seconds of the processor for these imports. The long profile starts new processes.
"""

import gc
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from typing import IO, Any

from profiles import LONG


class Forked:
    """A program in a fork of this process, with what is used of a ``subprocess.Popen``.

    ``stdout`` may be ``subprocess.PIPE``.
    """

    def __init__(self, program: str, arguments: Sequence[str], stdout: int, stderr: int) -> None:
        self.returncode: int | None = None
        ours, theirs = os.pipe() if stdout == subprocess.PIPE else (None, os.dup(stdout))
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                code = _run(program, arguments, theirs, stderr)
            finally:
                os._exit(code)  # whatever happens, it is no second test process
        os.close(theirs)
        self.stdout = None if ours is None else os.fdopen(ours)

    def poll(self) -> int | None:
        if self.returncode is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if found else None
        return self.returncode

    def wait(self, seconds: float = 600.0) -> int:
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("a forked program", seconds)
            time.sleep(0.005)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(program: str, arguments: Sequence[str], stdout: int, stderr: int) -> int:
    """Run a program in the fork as ``python -c`` would; returns its exit code."""
    gc.freeze()  # what the tests have made is not looked through, and so not copied
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, handle in enumerate((nothing, stdout, os.dup(stderr))):
        os.dup2(handle, number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warnings.resetwarnings()  # in tests they are errors
    warnings.simplefilter("ignore")
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)  # threads of the test process are not in the fork
    sys.argv = ["-c", *arguments]
    try:
        exec(compile(program, "<forked>", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
    except BaseException:  # noqa: BLE001 - said as any program would, and never raised in the test
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def start(
    program: str, arguments: Sequence[str], stdout: IO[Any] | int, stderr: IO[Any] | int
) -> "Forked | subprocess.Popen[str]":
    """Start ``python -c program arguments``; in the short profile a fork of this process runs it."""
    if LONG:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True, start_new_session=True
        )
    handles = [stream if isinstance(stream, int) else stream.fileno() for stream in (stdout, stderr)]
    return Forked(program, arguments, *handles)
