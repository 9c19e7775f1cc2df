"""Reading a job file: sections as validated objects, mistakes as sentences."""

import difflib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from vadprobe.store.errors import VadprobeError, near_file


class Section(BaseModel):
    """Section of a job file. Unknown keys are errors; values cannot be changed once the section is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class OpenReading:
    """A question that published methods leave open, in the annotation of the key that answers it.

    `question` names it in a few words, `printed` is the text of the paper, `others` are readings of other works. The
    key's description and default have the reading that is used here.
    """

    question: str
    printed: str
    others: str


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        VadprobeError: if there is none, or it is not TOML.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise VadprobeError(
            f"there is no job file {path}{near_file(path)} 'vadprobe init' writes one; presets are in the project's "
            "folder configs/."
        ) from error
    except IsADirectoryError as error:
        raise VadprobeError(f"{path} is a folder; name a job file (TOML), such as configs/hiprobe.toml.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise VadprobeError(f"{path} is not valid TOML: {error}") from error


def explain(path: Path, error: ValidationError, model: type[BaseModel]) -> VadprobeError:
    """Turn pydantic's report into one sentence per mistake: the key, the rule, the value."""
    return VadprobeError(f"{path}: " + " ".join(sentence for _, sentence, _ in mistakes(error, model)))


def mistakes(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[tuple[int | str, ...], str, bool]]:
    """Yield (place, sentence, is_given) for each mistake; `is_given` is False where a required key is missing."""
    places = [item["loc"] for item in error.errors()]
    for item in error.errors():
        if item["type"] == "too_short" and any(place[: len(item["loc"])] == item["loc"] != place for place in places):
            continue  # short only because an entry is wrong, which is said
        where = ".".join(str(part) for part in item["loc"]) or "the file"
        if item["type"] == "extra_forbidden":
            key = str(item["loc"][-1])
            known = _known_keys(model, item["loc"][:-1])
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}."
            sentence = f"unknown key {where!r}; {hint}"
        elif item["type"] == "missing":
            sentence = f"the key {where!r} is missing."
        elif item["type"] == "tuple_type":
            form = f"tables, each below a line [[{where}]]" if isinstance(item["input"], dict) else "values in brackets"
            sentence = f"{where} must be a list of {form}, got {_short(item['input'])}."
        else:
            message = item["msg"].removeprefix("Value error, ")
            got = "" if isinstance(item["input"], dict | list | tuple | BaseModel) else f" (got {item['input']!r})"
            sentence = f"{where}: {message.removesuffix('.')}{got}."
        yield item["loc"], sentence, item["type"] != "missing"


def _short(value: Any) -> str:
    return "one table" if isinstance(value, dict) else repr(value)


def _known_keys(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the section at `place`; nested sections and lists of sections are followed."""
    current: type[BaseModel] | None = model
    for part in place:
        if isinstance(part, int) or current is None or part not in current.model_fields:
            continue
        current = _section_of(current.model_fields[part].annotation)
    return list((current or model).model_fields)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    parts = (_section_of(part) for part in getattr(annotation, "__args__", ()))
    return next((part for part in parts if part is not None), None)
