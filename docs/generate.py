"""Write the reference pages of the commands and of job files: `python docs/generate.py`."""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vadprobe.flows.command_line import application
from vadprobe.flows.jobs.job import JobConfig
from vadprobe.store.files.text import markdown_table

_WORDS = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
_JOBS = """\
# Keys of a job file

A job is one TOML file for both stages. It is checked as a whole before any work starts; an unknown key is an error.
Keys without a default must be given. The files in `configs/` are complete examples.

A job may say `extends = "other.toml"`, a file relative to its own, or `extends = "papers/headhunt"`, a shipped job by
its name; or a list of them, of which later ones win, and the job's own keys win over all. Tables are merged key by key;
an array, and an array of tables such as `[[sampling]]`, is replaced whole. A key cannot be taken away, only be given
another value. `workspace` is relative to the file that says it. `vadprobe show-job JOB` prints the whole job with the
file that each value came from.
"""


def commands_page() -> str:
    """Return the page of every command with its options, in Markdown."""
    page = application().generate_docs()
    return "\n".join(line.rstrip() for line in page.splitlines()) + "\n"


def jobs_page() -> str:
    """Return the page of every key of a job file, in Markdown."""
    return "\n".join([_JOBS, *_section(JobConfig, "", is_many=False)])


def _section(model: type[BaseModel], place: str, *, is_many: bool) -> Iterator[str]:
    """Yield a section's description, its keys, and the sections in it."""
    if place:
        yield f"## `[[{place}]]`\n" if is_many else f"## `[{place}]`\n"
        yield f"{_prose(model)}\n"
    inner = {name: _model(field.annotation) for name, field in model.model_fields.items()}
    keys = [(f"`{name}`", *_cells(model.model_fields[name])) for name, found in inner.items() if found is None]
    if keys:
        yield "\n".join(markdown_table(("key", "type", "default", "description"), keys)) + "\n"
    for name, found in inner.items():
        if found is not None:
            yield from _section(found, f"{place}.{name}".lstrip("."), is_many=_is_many(model.model_fields[name]))


def _prose(model: type[BaseModel]) -> str:
    """Return the description of a section, each paragraph on one line."""
    paragraphs = (model.__doc__ or "").replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _cells(field: FieldInfo) -> tuple[str, str, str]:
    bounds = [text for item in field.metadata for text in _bounds(item)]
    kind = ", ".join([_type(field.annotation), *bounds])
    default = "" if field.is_required() or field.default is None else f"`{_toml(field.default)}`"
    return kind, default or ("must be given" if field.is_required() else "none"), field.description or ""


def _bounds(item: Any) -> Iterator[str]:
    for name, words in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
        if getattr(item, name, None) is not None:
            yield f"{words} {getattr(item, name)}"


def _type(annotation: Any) -> str:
    """Return a type in words; None, which no TOML can say, is left out."""
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{_toml(value)}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_type(part) for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is tuple:
        parts = get_args(annotation)
        return f"list of {_type(parts[0])}" if parts[-1] is ... else f"[{', '.join(map(_type, parts))}]"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table of " + " and ".join(f"`{name}`" for name in annotation.model_fields)
    return _WORDS.get(annotation.__name__, annotation.__name__)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _model(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a key holds, or None for a key with a value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    parts = [part for part in get_args(annotation) if part not in (type(None), ...)]
    return _model(parts[0]) if len(parts) == 1 and get_origin(annotation) is not Literal else None


def _is_many(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


PAGES = {"commands.md": commands_page, "jobs.md": jobs_page}
"""Functions of the pages by name of the file."""

if __name__ == "__main__":
    for name, page in PAGES.items():
        Path(__file__).with_name(name).write_text(page(), encoding="utf-8")
