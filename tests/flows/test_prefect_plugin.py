"""The plain deployment name is completed for `deployment run` and nothing else."""

import pytest

from vadprobe.flows.prefect_plugin import complete


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["deployment", "run", "extract-features"], ["deployment", "run", "extract-features/extract-features"]),
        (
            ["deployment", "run", "--watch", "analyze-features", "-p", "config=a.toml"],
            ["deployment", "run", "--watch", "analyze-features/analyze-features", "-p", "config=a.toml"],
        ),
        (["deployment", "run", "extract-features/mine"], ["deployment", "run", "extract-features/mine"]),
        (["deployment", "run", "-p", "extract-features"], ["deployment", "run", "-p", "extract-features"]),
        (["deployment", "run", "something-else"], ["deployment", "run", "something-else"]),
        (["deployment", "inspect", "extract-features"], ["deployment", "inspect", "extract-features"]),
        (["deploy", "--all"], ["deploy", "--all"]),
        ([], []),
    ],
)
def test_only_our_own_plain_names_after_deployment_run_are_completed(words: list[str], expected: list[str]) -> None:
    assert complete(["prefect", *words]) == ["prefect", *expected]
