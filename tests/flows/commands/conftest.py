"""Commands run in this process, as a user gives them."""

from collections.abc import Callable

import pytest

from vadprobe.flows.command_line import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command: (exit code, standard output, standard error)."""

    def run_command(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()  # what the test itself printed
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


@pytest.fixture
def refused(run: Run) -> Callable[..., str]:
    """The sentence with which a command refuses its input."""

    def run_command(*words: object) -> str:
        code, out, err = run(*words)
        assert code == 2
        assert not out
        sentence = err.strip().splitlines()[-1]
        assert sentence.startswith("vadprobe: ")
        assert "Traceback" not in err
        return sentence.removeprefix("vadprobe: ")

    return run_command
