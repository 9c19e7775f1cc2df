"""Every command and every job key that a page shows exists: the real parser and the real models read them."""

import tomllib
from pathlib import Path

import pytest
from cyclopts import CycloptsError
from pydantic import BaseModel

from tests.project.docs.pages import DOCS, READ, blocks, commands
from vadprobe.flows.command_line import application
from vadprobe.flows.jobs.job import JobConfig

APPLICATION = application()
WRITTEN = [path for path in READ if path != DOCS / "reference" / "commands.md"]


def named(path: Path) -> str:
    return path.name if path.parent == DOCS.parent else path.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_the_commands_of_a_page_are_ones_that_the_program_reads(page: Path) -> None:
    for words in commands(page):
        function, bound, *_ = APPLICATION.parse_args(words, exit_on_error=False, print_error=False)
        assert function.__module__.startswith("vadprobe.flows.commands"), words
        assert bound is not None


def test_a_wrong_word_is_noticed() -> None:
    with pytest.raises(CycloptsError):
        APPLICATION.parse_args(["extract", "job.toml", "--repare"], exit_on_error=False, print_error=False)


def test_there_are_commands_to_look_at() -> None:
    found = {words[0] for page in WRITTEN for words in commands(page)}
    assert {"plan", "extract", "verify", "analyze", "detect", "evaluate", "table", "pull", "export"} <= found


def unknown(table: dict[str, object], model: type[BaseModel], place: str) -> list[str]:
    """Return the keys of a table that the model of a section does not have."""
    found = []
    for key, value in table.items():
        name = f"{place}.{key}".lstrip(".")
        if key not in model.model_fields:
            found.append(name)
            continue
        inner = [part for part in models_in(model.model_fields[key].annotation) if isinstance(value, dict | list)]
        items = value if isinstance(value, list) else [value]
        for item in items:
            if inner and isinstance(item, dict):
                found += unknown(item, inner[0], name)
    return found


def models_in(annotation: object) -> list[type[BaseModel]]:
    """Return the models that an annotation holds at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_the_keys_of_a_page_are_keys_of_a_job(page: Path) -> None:
    for block in blocks(page, "toml"):
        table = tomllib.loads(block)
        table.pop("extends", None)
        assert unknown(table, JobConfig, "") == [], block


def test_an_unknown_key_is_noticed() -> None:
    table = tomllib.loads("[analysis.locator]\nsigma = 1\n[[sampling]]\nunit = 'video'\nlayer = 3")
    assert unknown(table, JobConfig, "") == ["analysis.locator.sigma", "sampling.layer"]
