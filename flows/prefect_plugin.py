"""Plugin for `prefect deployment run extract-features` without the slash.

Prefect's own form is FLOW/DEPLOYMENT, `extract-features/extract-features`. This plugin runs when prefect is imported
and completes the plain name of one of our deployments, for `deployment run` only.
"""

import sys
from typing import Any

import pluggy

DEPLOYMENTS = ("extract-features", "analyze-features")
"""Our deployments; each has the name of its flow."""

_hook = pluggy.HookimplMarker("prefect-experimental")  # the project name Prefect 3.8 registers its hooks under


def complete(arguments: list[str]) -> list[str]:
    """Return command-line arguments with a plain name after `deployment run` completed to NAME/NAME."""
    if arguments[1:3] != ["deployment", "run"]:
        return arguments
    return [
        f"{word}/{word}" if position > 2 and word in DEPLOYMENTS and not _is_value(arguments[position - 1]) else word
        for position, word in enumerate(arguments)
    ]


def _is_value(before: str) -> bool:
    """Return True if a word that follows `before` is that option's value, not the deployment's name."""
    return before.startswith("-") and before != "--watch"


@_hook
def setup_environment(*, ctx: Any) -> None:
    """Complete the name in place; Prefect reads its arguments after its plugins have run."""
    sys.argv[:] = complete(sys.argv)
