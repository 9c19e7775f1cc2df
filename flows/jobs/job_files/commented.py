"""Write the settings of a new job as TOML for people: only the given keys, each below a comment with its meaning."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from vadprobe.flows.jobs.job_files.merging import Place
from vadprobe.flows.jobs.job_files.toml_text import toml_value
from vadprobe.store.settings import Section

_WIDTH = 110


def commented_lines(section: Section, given: Mapping[str, Any]) -> Iterator[str]:
    """Yield the given keys in the order of their declaration, then the tables below, each after its meaning.

    Args:
        section: the validated settings.
        given: the content from which they were validated; keys that it lacks are not written and keep their defaults.
    """
    yield from _table(section, given, ())


def _table(section: Section, given: Mapping[str, Any], place: Place) -> Iterator[str]:
    tables: list[tuple[str, Section, Mapping[str, Any], bool]] = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if name not in given or value is None:
            continue
        many = isinstance(value, tuple) and bool(value) and all(isinstance(one, Section) for one in value)
        if many and all(isinstance(one, Mapping) for one in given[name]):
            tables += [(name, one, said, True) for one, said in zip(value, given[name], strict=True)]
        elif isinstance(value, Section):
            tables.append((name, value, given[name], False))
        else:
            yield from (f"# {line}" for line in textwrap.wrap(field.description or "", _WIDTH))
            yield f"{name} = {toml_value(value)}"
    for name, one, said, many in tables:
        title = ".".join(map(str, (*place, name)))
        yield ""
        yield from (f"# {line}" for line in textwrap.wrap(_first_sentence(one), _WIDTH))
        yield f"[[{title}]]" if many else f"[{title}]"
        yield from _table(one, said, (*place, name))


def _first_sentence(section: Section) -> str:
    """Return the first sentence of a section's docstring, without the section's name."""
    text = " ".join((type(section).__doc__ or "").split("\n\n")[0].split())
    meaning = text.partition(": ")[2] or text
    return meaning[:1].upper() + meaning[1:]
