"""The committed reference pages say what the commands and job files take now."""

import importlib
import re
import runpy

import pytest

from tests.support.paths import ROOT
from vadprobe.flows.command_line import COMMANDS, EXIT_CODES, application

PAGES = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_up_to_date(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run: python docs/generate.py"


def test_every_command_has_a_heading() -> None:
    headings = [line.lstrip("# ") for line in PAGES["reference/commands.md"]().splitlines() if line.startswith("##")]
    names = [name for modules in COMMANDS.values() for commands in modules.values() for name in commands]
    assert {f"vadprobe {name}" for name in names} <= set(headings)


def test_every_key_of_a_job_has_a_description() -> None:
    keys = [line for line in PAGES["reference/jobs.md"]().splitlines() if line.startswith("| `")]
    assert keys
    assert not [line for line in keys if line.endswith("|  |")]


def test_every_open_reading_says_what_is_printed_and_what_is_taken() -> None:
    rows = [line.split(" | ") for line in PAGES["explanation/readings.md"]().splitlines() if "| `analysis." in line]
    readings = [row for row in rows if len(row) == 6]
    keys = {row[2] for row in readings}
    assert {"`analysis.saliency.entropy_bins`", "`analysis.probe.scaling`", "`analysis.locator.edge`"} <= keys
    assert len(keys) == len(readings)
    assert not [row for row in readings if not all(cell.strip(" |") for cell in row)]


def test_the_names_of_the_python_page_can_be_imported() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    names = re.findall(r"^::: (\S+)$", page, re.MULTILINE)
    assert {"vadprobe.detect.Detector", "vadprobe.store.open_store", "vadprobe.analyze.evaluate"} <= set(names)
    for name in names:
        module, _, last = name.rpartition(".")
        assert getattr(importlib.import_module(module), last).__doc__, name


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == set(EXIT_CODES)


def test_every_help_has_an_example_that_the_command_takes() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    for names in (names for modules in COMMANDS.values() for names in modules.values()):
        for name in names:
            section = page.partition(f"# vadprobe {name}\n")[2].partition("\n##")[0]
            (example,) = [line for line in section.splitlines() if line.startswith("Example: ")]
            assert example.startswith(f"Example: vadprobe {name}")
            application().parse_args(example.split()[2:], exit_on_error=False, print_error=False)
