"""Write the pages that follow from the code: commands, keys of job files, open readings: `python docs/generate.py`."""

import re
import tomllib
import types
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vadprobe.analyze.configuration import CODE_SETTINGS, AnalysisConfig
from vadprobe.analyze.locator.settings import CODE_GRID
from vadprobe.flows.command_line import EXIT_CODES, application
from vadprobe.flows.jobs.job import JobConfig
from vadprobe.store.files.text import markdown_table
from vadprobe.store.format.configuration import PromptConfig
from vadprobe.store.settings import OpenReading

_WORDS = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "dict": "table"}
_JOBS = """\
# Keys of a job file

A job is one TOML file for both stages. It is checked as a whole before any work starts; an unknown key is an error.
Keys without a default must be given. The files in `configs/` are complete examples.

A job can build on others: `extends = "other.toml"` names a file, relative to the job's own folder;
`extends = "papers/headhunt"` names a shipped job; a list names several.

- Later jobs of the list win over earlier ones, and the job's own keys win over all.
- Tables are merged key by key. An array is replaced as a whole, also an array of tables such as `[[sampling]]`.
- A key can be given another value, but not removed.
- `workspace` is relative to the file that sets it.

`vadprobe show-job JOB` prints the whole job, with the file that each value comes from.

**Unit**: the unit of a number; "1" stands for none. **Source**: where a default comes from. "printed" gives what the
papers say about a question that they leave open ([open readings](../explanation/readings.md)). "HiProbe-VAD" and
"HeadHunt-VAD" mark values of the papers. In an empty cell the default is ours.
"""

_PROGRAMS = """\
For programs, many commands print one JSON value with `--json`. Nothing else is then on standard output; progress and
messages go to standard error. `verify` and `dataset audit` take a file after `--json`, or `-` for standard output.
Every command ends with one of these exit codes:
"""

_READINGS = """\
---
hide: [toc]
---
# Open readings

This page lists what HiProbe-VAD (MM 2025) and HeadHunt-VAD (AAAI 2026) leave open, and the key of a job that answers
each question. The equations and the code that computes them are in [equations](../reference/equations.md), all keys in
[jobs](../reference/jobs.md).

A key of the saliency of layers is refused in a job of heads, and the other way round. Where a job departs from a
default, its `detector.json` says so under `provenance.readings`, and so does the report.
"""
_WITHOUT_KEY = (
    (
        "frames of a sample",
        "F frames, uniformly",
        "the middles of F equal parts of its N frames, (2i + 1) N / 2F",
        "((N - 1) / F) (i + 1/2) (the public code)",
    ),
    (
        "deviation in the z-score of layers",
        "not said",
        "population; it cannot change the choice. A metric that is the same in every layer has z = 0; the first of "
        "equal layers wins",
        "",
    ),
    ("embedding", "not said", "stored, never ranked: it is the same token in every sample", ""),
    (
        "covariances of the symmetric KL",
        "Gaussians",
        "each class shrunk by Ledoit and Wolf; unknown with two samples in a class",
        "a ridge of 1e-10 (the public code)",
    ),
    (
        "kernel of MMD",
        "not said",
        "exp(-|x - y|^2 / 2 s^2), s the median distance of all pairs of samples; self-pairs included",
        "the median of the squared distances that are not 0 (the public code)",
    ),
    (
        "scaling of metrics of heads",
        "min-max",
        "over all heads of a prompt; an all-equal metric counts 0; an unknown head is never chosen and scales nothing; "
        "of equal heads the lower block and head first",
        "the higher one first, unknown metrics left out of the mean (the public code)",
    ),
    (
        "unknown clips in smoothing",
        "not said",
        "stay unknown, and their neighbours are means over the known ones",
        "",
    ),
    (
        "AUC under a threshold",
        "not defined",
        "three numbers: of the scores, of the scores with those at or below the threshold made equal (`auc_gated`), "
        "and of the decision alone, (TPR + TNR) / 2 (`auc_binary`)",
        "",
    ),
    (
        "AP",
        "not defined",
        "step function (`ap_step`) and trapezoid (`pr_area_trapezoid`), side by side",
        "the step function (the public code)",
    ),
)
"""Readings that no key changes: question, what is printed, what is taken here, and what others take."""

_UNITS = tomllib.loads(Path(__file__).with_name("units.toml").read_text(encoding="utf-8"))

_FAULTS = """\
The public code also smooths twice, drops up to 47 frames at the end of a video and gives one score too many for short
videos. These are faults, and not copied.
"""


def commands_page() -> str:
    """Return the page of every command with its options, in Markdown."""
    title, _, page = application().generate_docs().replace("# vadprobe\n", "# Commands\n", 1).partition("\n")
    # The groups below list each command again.
    page = re.sub(r"## Table of Contents\n.*?(?=^\*\*)", "", page, flags=re.DOTALL | re.MULTILINE)
    codes = markdown_table(("code", "meaning"), [(str(code), text) for code, text in EXIT_CODES.items()])
    lines = [title, "", *_PROGRAMS.splitlines(), "", *codes, *page.splitlines()]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def jobs_page() -> str:
    """Return the page of every key of a job file, in Markdown."""
    return "\n".join([_JOBS, *_section(JobConfig, "", is_many=False)])


def readings_page() -> str:
    """Return the page of everything that the papers leave open, in Markdown."""
    columns = ("question", "what is printed", "key", "default", "here", "other readings")
    keys = "\n".join(markdown_table(columns, list(_readings(AnalysisConfig, "analysis"))))
    without = "\n".join(markdown_table((*columns[:2], *columns[4:]), _WITHOUT_KEY))
    return "\n".join([_READINGS, f"{keys}\n", _convention(), f"## Without a key\n\n{without}\n", _FAULTS])


def notebook_page(name: str) -> str:
    """Return the page of a notebook: its text as Markdown, its code as blocks."""
    path = Path(__file__).parent / "notebooks" / f"{name}.py"
    found = []
    for cell in re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        kind, _, body = cell.partition("\n")
        if "[markdown]" in kind:
            found.append("\n".join(line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines()))
        else:
            found.append(f"```python\n{body.strip()}\n```")
    title, text = found[0].split("\n", 1)
    place = f"docs/notebooks/{name}.py"
    note = (
        f"This page is the notebook `{place}`. It runs as it stands: in an editor that knows `# %%` cells, in Jupyter "
        f"with jupytext, or by `python {place}`."
    )
    return "\n\n".join([title, text.strip(), f"*{note}*", *found[1:]]) + "\n"


def _readings(model: type[BaseModel], place: str) -> Iterator[tuple[str, ...]]:
    """Yield a row for every key of a section, and of those in it, that answers an open question."""
    for name, field in model.model_fields.items():
        inner = _model(field.annotation)
        if inner is not None:
            yield from _readings(inner, f"{place}.{name}")
        for reading in field.metadata:
            if isinstance(reading, OpenReading):
                _, default, text = _cells(field)
                yield reading.question, reading.printed, f"`{place}.{name}`", default, text, reading.others


def _convention() -> str:
    """Return the paragraphs about the convention that sets several keys, and what it sets."""
    settings = {name: {**found, **(CODE_GRID if name == "locator" else {})} for name, found in CODE_SETTINGS.items()}
    rows = [
        (f"`analysis.{section}.{name}`", "none" if value is None else f"`{_short(value)}`")
        for section, found in settings.items()
        for name, value in found.items()
    ]
    table = "\n".join(markdown_table(("key", "value"), rows))
    prose = _prose(AnalysisConfig).split("\n\n", 1)[1]
    return f'## `convention = "headhunt-code"`\n\n{prose}\n\n{table}\n'


def _short(value: Any) -> str:
    """Return a value as TOML, a long list by its ends."""
    if isinstance(value, tuple) and len(value) > 3:
        return f"[{_toml(value[0])}, {_toml(value[1])}, ..., {_toml(value[-1])}] ({len(value)})"
    return _toml(value)


def _section(model: type[BaseModel], place: str, *, is_many: bool) -> Iterator[str]:
    """Yield a section's description, its keys, and the sections in it."""
    if place:
        yield f"## `[[{place}]]`\n" if is_many else f"## `[{place}]`\n"
        yield f"{_prose(model)}\n"
    inner = {name: _model(field.annotation) for name, field in model.model_fields.items()}
    keys = [_key(model.model_fields[name], f"{place}.{name}") for name, found in inner.items() if found is None]
    if keys:
        head = ("key", "type", "default", "unit", "source", "description")
        kept = [place for place in range(len(head)) if any(row[place] for row in keys)]
        rows = [tuple(row[place] for place in kept) for row in keys]
        yield "\n".join(markdown_table([head[place] for place in kept], rows)) + "\n"
    if model is JobConfig:  # its prompts are keys or tables
        yield from _section(PromptConfig, "prompts", is_many=True)
    for name, found in inner.items():
        if found is not None:
            yield from _section(found, f"{place}.{name}".lstrip("."), is_many=_is_many(model.model_fields[name]))


def _key(field: FieldInfo, place: str) -> tuple[str, ...]:
    """Return the row of one key."""
    kind, default, text = _cells(field)
    unit = _UNITS.get(place, "1" if place.endswith(".seed") else "")
    if not unit and "number" in kind:
        raise KeyError(f"{place} is a number; give its unit in docs/units.toml")
    open_readings = [item.printed for item in field.metadata if isinstance(item, OpenReading)]
    papers = [f"{name}-VAD" for name in ("HiProbe", "HeadHunt") if name in text or "both papers" in text]
    source = f"printed: {open_readings[0]}" if open_readings else ", ".join(papers)
    return f"`{place.rpartition('.')[2]}`", kind, default, unit, source, text


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
    if get_origin(annotation) is dict:
        values = get_args(annotation)[1]
        return "table" if values is Any else f"table of {_type(values)}s"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
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


PAGES = {
    "reference/commands.md": commands_page,
    "reference/jobs.md": jobs_page,
    "explanation/readings.md": readings_page,
    "tutorials/inside-a-store.md": partial(notebook_page, "inside_a_store"),
    "tutorials/what-a-score-claims.md": partial(notebook_page, "what_a_score_claims"),
}
"""Functions of the pages by their paths in this folder."""

if __name__ == "__main__":
    for name, page in PAGES.items():
        Path(__file__).parent.joinpath(name).write_text(page(), encoding="utf-8")
