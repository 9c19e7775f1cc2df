"""The command line `vadprobe`: its commands, and how each of them ends.

A command is a function of `vadprobe.flows.commands` with its line in `COMMANDS`: the signature is its options, the
docstring its help, the result its exit code. Its module is imported only when the command is asked for.
"""

import ast
import errno
import importlib.metadata
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, Group, Parameter

from vadprobe.flows.jobs.progress import messages_on_terminal
from vadprobe.store.errors import VadprobeError

COMMANDS: dict[str, dict[str, tuple[str, ...]]] = {
    "First steps": {"setup.init": ("init",), "setup.doctor": ("doctor",)},
    "From videos to scores": {
        "stages": ("show-job", "plan", "extract", "analyze", "report", "demo"),
        "detection.texts": ("describe", "explain"),
        "verify": ("verify",),
    },
    "From a video to events": {
        "detection.detect": ("detect",),
        "detection.detectors": ("detector build", "detector show"),
    },
    "Stores": {"stores": ("ls", "show", "diff", "similar", "card", "gc")},
    "Copies and other programs": {
        "transfer": ("pull", "push", "compact"),
        "exchange": ("export", "export-fiftyone", "import headhunt"),
        "backbones": ("backbones", "convert-checkpoint", "make-demo-backbone"),
    },
    "Data sets and experiments": {
        "datasets": ("dataset audit", "dataset prepare"),
        "experiments.evaluate": ("evaluate",),
        "experiments.tables": ("table",),
        "experiments.figures": ("figure",),
        "experiments.stability": ("stability", "probing"),
        "experiments.sweeps": ("sweep", "agreement"),
    },
    "On a Prefect server": {"setup.deploy": ("deploy",)},
}
"""Commands by the module of their functions, under the titles of the help page."""

_GROUPS = {
    "detector": "Build a detector's file, and show what it holds.",
    "dataset": "Check a dataset, and write it as a manifest, before anything is computed.",
    "import": "Make a store of features that other programs computed.",
}
"""Groups of commands, each with a line of help."""
_EXTRAS = {
    "plan": "extract",
    "extract": "extract",
    "convert-checkpoint": "extract",
    "make-demo-backbone": "extract,demo",
    "describe": "all",
    "explain": "all",
    "detect": "extract,analyze",
    "demo": "all",
    "deploy": "flows",
}
"""Extras that hold the packages of a command, where it is not `analyze`."""


EXIT_CODES = {
    0: "done",
    1: "a check found something: a store or a dataset with errors, a part of the machine that does not "
    "work, two stores that differ; or an import left a file out",
    2: "wrong input: a sentence on standard error says what to correct; no work was begun",
    3: "done, but not for everything: some videos or clips cannot be read, or some figures cannot be "
    "drawn from the stores",
    130: "interrupted (Ctrl-C, SIGTERM); what was written is kept, and the same command continues",
    141: "the program that read the output has ended",
}
"""Meanings of the exit codes of commands; any other code is a fault of vadprobe, with a traceback."""
_WRONG_PLACE = (
    *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG),
)
"""Errors of the system that mean: this path is no place to read from, or to write to."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        One of `EXIT_CODES`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with messages_on_terminal():
            code = application(words[0] if words else None)(
                words, exit_on_error=False, print_error=False, result_action="return_value"
            )
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # the second is what the printer of help makes of the first
        # The reader of our output has closed it ("| head"); Python would complain once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (CycloptsError, VadprobeError, ModuleNotFoundError) as error:
        print(f"vadprobe: {_refusal(error, words)}", file=sys.stderr)
        return 2
    except OSError as error:
        if not error.filename or error.errno not in _WRONG_PLACE:
            raise
        print(f"vadprobe: {error.filename} cannot be used: {error.strerror}. Name another path.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nvadprobe: interrupted. What was written is kept; the same command continues where it stopped.",
            file=sys.stderr,
        )
        return 130
    if code is None:  # a page of help: asked for, or shown because no command was named
        return 0 if {"-h", "--help", "--version"} & set(words) else 2
    return int(code)


def application(command: str | None = None) -> App:
    """Return the parser of the command line; no module of a command is imported.

    Args:
        command: the word that names the command to run; where it names one, the help texts of others are left out.
    """
    is_one = command in {
        name.split()[0] for modules in COMMANDS.values() for names in modules.values() for name in names
    }
    look: dict[str, Any] = {
        "default_parameter": Parameter(negative=(), allow_repeating=True, show_default=_default),
        "group_parameters": Group("Options", sort_key=0),
        "group_commands": Group("Help", sort_key=len(COMMANDS)),
        "help_format": "plaintext",
    }
    app = App(
        "vadprobe",
        help="Find anomalies in video by probing the features of a frozen multimodal model.",
        version=lambda: importlib.metadata.version("vadprobe"),
        suppress_keyboard_interrupt=False,
        **look,
    )
    app.register_install_completion_command(help="Let your shell complete commands and options with Tab.", group="Help")
    for place, (title, modules) in enumerate(COMMANDS.items()):
        group = Group(title, sort_key=place)
        for module, names in modules.items():
            is_needed = not is_one or command in {name.split()[0] for name in names}
            helps = _helps(module) if is_needed else {}
            for name in names:
                owner, last = app, name
                if " " in name:
                    parent, last = name.split()
                    if parent not in app:
                        app.command(App(parent, help=_GROUPS[parent], group=group, **look))
                    owner = app[parent]
                function = name.replace("-", "_").replace(" ", "_")
                path = f"vadprobe.flows.commands.{module}:{function}"
                owner.command(path, name=last, help=helps.get(function, ""), group=group, sort_key=len(list(owner)))
    return app


def _helps(module: str) -> dict[str, str]:
    """Return the help text of each of a module's functions, from their docstrings, without importing the module."""
    source = Path(__file__).with_name("commands").joinpath(f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {function.name: _prose(ast.get_docstring(function) or "") for function in functions}


def _prose(docstring: str) -> str:
    """Return the paragraphs before the section of arguments, each on one line."""
    paragraphs = docstring.partition("\n\nArgs:")[0].split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _default(value: Any) -> Any:
    """Return a default as the help shows it; defaults that mean "not given" are hidden."""
    return None if value is None or value is False or value == () else str(value)


def _refusal(error: Exception, words: Sequence[str]) -> str:
    """Return the sentence for an error about the input; raise any other error again."""
    if isinstance(error, CycloptsError):
        from vadprobe.flows.usage_errors import usage_sentence

        return usage_sentence(error)
    if not isinstance(error, ModuleNotFoundError):
        return str(error)
    if (error.name or "").startswith("vadprobe"):
        raise error
    return (
        f"this command needs the package {error.name!r}, which is not installed; "
        f"install it with: pip install 'vadprobe[{_EXTRAS.get(words[0], 'analyze')}]'"
    )


if __name__ == "__main__":
    sys.exit(main())
