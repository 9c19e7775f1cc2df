"""Findings: the state of one part of the machine, and what to do."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

State = Literal["good", "note", "problem"]
"""'good' works; 'note' is worth knowing, or optional and not there; 'problem' does not work."""


@dataclass(frozen=True)
class Finding:
    """State of one part of the machine, a sentence about it, and what to do: `cure`, "" where nothing is to be done."""

    part: str
    state: State
    text: str
    cure: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the finding for programs."""
        return asdict(self)


def lines(findings: Sequence[Finding]) -> list[str]:
    """Return the findings as lines for people: one paragraph for each part, with the cure below it."""
    width = max(len(finding.part) for finding in findings)
    written = []
    for finding in findings:
        written.append(f"{finding.state:<8}{finding.part:<{width}}  {finding.text}")
        if finding.cure:
            written.append(f"{'':<{width + 10}}-> {finding.cure}")
    return written
