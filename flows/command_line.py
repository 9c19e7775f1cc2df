"""The command line: ``vadprobe plan | extract | verify | ls | show | diff | card | gc | analyze | evaluate | ...``.

The plain commands run without Prefect. A stage's libraries are imported only when its command is asked for, so that
``vadprobe analyze`` works where torch is not installed.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from vadprobe.flows.commands.convert import add_convert_command
from vadprobe.flows.commands.datasets import add_dataset_commands
from vadprobe.flows.commands.evaluate import add_evaluate_command
from vadprobe.flows.commands.exchange import add_exchange_commands
from vadprobe.flows.commands.experiments import add_experiment_commands
from vadprobe.flows.commands.stages import _analyze, _extract, _plan, _report
from vadprobe.flows.commands.stores import add_store_commands
from vadprobe.flows.commands.transfer import add_transfer_commands
from vadprobe.flows.commands.verify import add_verify_command
from vadprobe.store.errors import VadprobeError

_EXTRAS = {"plan": "extract", "extract": "extract", "convert-checkpoint": "extract", "demo": "all"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 done, 1 a store or a dataset is not sound, or two stores differ, 2 wrong input (said in a sentence), 3 all
        features are extracted but for videos or clips that cannot be read, 130 interrupted, 141 nobody reads the
        output.
    """
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        code = command(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has closed it ("| head"); Python would complain once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except VadprobeError as error:
        print(f"vadprobe: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vadprobe"):
            raise
        extra = _EXTRAS.get(options.name, "analyze")
        print(
            f"vadprobe: this command needs the package {error.name!r}, which is not installed; "
            f"install it with: pip install 'vadprobe[{extra}]'",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(
            "\nvadprobe: interrupted. What was written stays; the same command goes on where it stopped.",
            file=sys.stderr,
        )
        return 130


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vadprobe", description="Finds anomalies in video by probing the insides of a frozen multimodal model."
    )
    commands = parser.add_subparsers(title="commands", required=True, dest="name", metavar="COMMAND")
    for name, command, text in (
        ("plan", _plan, "probe the videos, create the stores, and say how much there is to compute"),
        ("extract", _extract, "compute the features that are missing (stage 1)"),
        ("analyze", _analyze, "select, fit, score and report from the stores alone (stage 2)"),
    ):
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.add_argument("config", type=Path, metavar="CONFIG", help="the job file (TOML)")
        sub.set_defaults(command=command)
    commands.choices["extract"].add_argument(
        "--repair", action="store_true", help="first verify, and take damaged partitions back so that they are redone"
    )
    commands.choices["extract"].add_argument(
        "--devices",
        nargs="+",
        metavar="DEVICE",
        help="compute on several devices at once, a process for each: cuda:0 cuda:1 ..., or 'all' for every GPU",
    )
    add_verify_command(commands)
    add_transfer_commands(commands)
    add_store_commands(commands)
    add_exchange_commands(commands)
    add_evaluate_command(commands)
    add_experiment_commands(commands)
    add_dataset_commands(commands)
    add_convert_command(commands)
    report = commands.add_parser("report", help="draw one page from finished analyses")
    report.add_argument("config", type=Path, nargs="+", metavar="CONFIG", help="job files whose analyses are finished")
    report.add_argument(
        "--out", type=Path, metavar="FILE", help="the HTML file to write; by default report.html of the first analysis"
    )
    report.set_defaults(command=_report)
    demo = commands.add_parser("demo", help="make a surveillance set and a tiny backbone, run both methods on them")
    demo.add_argument("--out", type=Path, default=Path("demo-out"), metavar="FOLDER", help="default: demo-out")
    demo.add_argument("--seed", type=int, default=0, help="of the videos and of the backbone's weights")
    demo.add_argument("--no-prefect", action="store_true", help="run the steps plainly, without an embedded Prefect")
    demo.add_argument(
        "--tables",
        action="store_true",
        help="then measure every table of both papers, on a second set, a second backbone and more sampling rates too",
    )
    demo.set_defaults(command=_demo)
    return parser


def _demo(options: argparse.Namespace) -> int:
    from vadprobe.flows.commands.demo import run_demo

    return run_demo(options.out, options.seed, with_prefect=not options.no_prefect, with_tables=options.tables)


if __name__ == "__main__":
    sys.exit(main())
