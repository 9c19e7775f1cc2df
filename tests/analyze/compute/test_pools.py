"""Ctrl-C, which a terminal sends to every process, ends this one alone: workers end with it, and say nothing."""

import os
import signal
import subprocess
import sys

import pytest

from vadprobe.analyze.compute.pools import _interrupted_later

PROGRAM = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


def test_workers_start_beyond_the_reach_of_ctrl_c_which_is_raised_when_they_are_there() -> None:
    handler, said = signal.getsignal(signal.SIGINT), []

    def start() -> None:
        with _interrupted_later():
            os.kill(os.getpid(), signal.SIGINT)
            said.append(
                subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
            )

    with pytest.raises(KeyboardInterrupt):
        start()
    assert said == ["True\n"]
    assert signal.getsignal(signal.SIGINT) is handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
