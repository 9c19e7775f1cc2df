"""Sentences about wrong words on the command line, with the nearest known word."""

import difflib
from collections.abc import Iterable

from cyclopts import CycloptsError
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)
from pydantic import ValidationError as SectionError

from vadprobe.store.errors import VadprobeError

_TYPES: dict[object, str] = {int: "a whole number", float: "a number"}


def usage_sentence(error: CycloptsError) -> str:
    """Return one or two sentences on what is wrong with a command line."""
    if isinstance(error.__cause__, VadprobeError):
        return str(error.__cause__)
    said = str(error)
    page = f"'{' '.join(('vadprobe', *(error.command_chain or ())))} --help'"
    match error:
        case UnknownCommandError(unused_tokens=[word, *_], app=app) if app is not None:
            known = [name for name in app if not name.startswith("-")]
            said = f"there is no command {word!r}; {_near(word, known) or f'{page} lists them.'}"
        case UnknownOptionError(token=token):
            word = token.keyword or token.value
            known = ["--help", *(name for argument in error.argument_collection for name in argument.names)]
            said = f"there is no option {word}; {_near(word, known) or f'{page} lists them.'}"
        case UnusedCliTokensError(unused_tokens=[word, *_]):
            said = f"{word!r} is one word too many; {page} shows what the command takes."
        case MissingArgumentError(argument=argument) if argument is not None:
            is_file = argument.parameter.converter is not None and argument.parameter.allow_leading_hyphen
            value = "a file, or '-' for standard output" if is_file else "a value"
            lack = f"{error.keyword} needs {value}" if error.keyword else f"{argument.name} is missing"
            said = f"{lack}; {page} shows what the command takes."
        case CoercionError(argument=argument, token=token) if argument is not None and token is not None:
            choices = argument.get_choices() or ()
            wanted = f"one of {', '.join(choices)}" if choices else _TYPES.get(error.target_type)
            if wanted:
                near = _near(token.value, choices)
                said = f"{argument.name} must be {wanted}, got {token.value!r}" + (f"; {near}" if near else ".")
        case ValidationError(argument=argument) if argument is None or not argument.tokens:
            said = _section_sentences(error)
        case ValidationError(argument=argument) if argument is not None:
            bound = error.exception_message.removeprefix("Must be ").removesuffix(".")
            said = f"{argument.name} must be {bound}, got {argument.tokens[-1].value}."
    return said


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _section_sentences(error: ValidationError) -> str:
    """Return sentences on what pydantic found wrong in options that make up a section of a job file."""
    if not isinstance(error.__cause__, SectionError):
        return str(error)
    return " ".join(
        f"--{str(item['loc'][-1]).replace('_', '-')} must be {item['msg'].removeprefix('Input should be ')}, got "
        f"{item['input']}."
        for item in error.__cause__.errors()
    )
