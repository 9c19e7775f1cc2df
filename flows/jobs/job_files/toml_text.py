"""Write the settings of a job as TOML, with every default, so that the text loads to the same settings."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vadprobe.flows.jobs.job_files.merging import Place
from vadprobe.store.settings import Section

_BARE = re.compile(r"[A-Za-z0-9_-]+")

Comment = Callable[[Place], str]
"""Function from the path of a key to the comment behind its value; empty for none."""


def toml_lines(section: Section, comment: Comment = lambda place: "") -> Iterator[str]:
    """Yield the lines of a section and its subsections, in the order of declaration; keys with None are left out."""
    yield from _table(section, (), comment)


def _table(section: Section, place: Place, comment: Comment) -> Iterator[str]:
    """Yield the values of a table, then the tables in it."""
    values = {name: getattr(section, name) for name in type(section).model_fields}
    inner = {name: value for name, value in values.items() if _is_table(value)}
    for name, value in values.items():
        if value is not None and name not in inner:
            about = comment((*place, name))
            yield f"{name} = {toml_value(value)}" + (f"  # {about}" if about else "")
    for name, value in inner.items():
        title = ".".join(map(str, (*place, name)))
        for one in (value,) if isinstance(value, Section) else value:
            yield ""
            yield f"[{title}]" if isinstance(value, Section) else f"[[{title}]]"
            yield from _table(one, (*place, name), comment)


def _is_table(value: Any) -> bool:
    is_array = isinstance(value, tuple) and bool(value) and all(isinstance(one, Section) for one in value)
    return is_array or isinstance(value, Section)


def toml_value(value: Any) -> str:
    """Write one value on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)  # an infinity is 'inf' in both languages
    if isinstance(value, Section):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        pairs = (
            (key if _BARE.fullmatch(key) else json.dumps(key), one) for key, one in value.items() if one is not None
        )
        return f"{{{', '.join(f'{key} = {toml_value(one)}' for key, one in pairs)}}}"
    return f"[{', '.join(map(toml_value, value))}]"
