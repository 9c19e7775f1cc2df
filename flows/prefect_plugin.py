"""Plugin for `prefect deployment run extract-features` without the slash.

Prefect's own form is FLOW/DEPLOYMENT, `extract-features/extract-features`. This plugin runs when prefect is imported
and completes the plain name of a shipped deployment, for `deployment run` only.
"""

import sys
from typing import Any

from prefect.plugins import SetupResult, register_hook

DEPLOYMENTS = (
    "extract-features",
    "extract-partitions",
    "analyze-features",
    "verify-store",
    "render-report",
    "evaluate-scores",
    "measure-tables",
    "detect-anomalies",
    "run-experiment",
)
"""The shipped deployments; each has the name of its flow."""

NOT_AGAIN = {"PREFECT_PLUGINS_ENABLED": "false"}
"""Environment that switches plugins off in child processes.

A worker's child imports prefect inside a running event loop, where Prefect cannot call plugins and logs a traceback.
No child process needs this plugin.
"""


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


@register_hook
def setup_environment(*, ctx: Any) -> SetupResult:
    """Complete the name in place; Prefect reads its arguments after its plugins have run."""
    sys.argv[:] = complete(sys.argv)
    return SetupResult(env=NOT_AGAIN)
