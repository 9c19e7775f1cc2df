"""Paths of the project and of the files beside it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
"""Real annotation files and videos; tests that need them skip where they are absent."""
GOLDEN = ROOT / "tests" / "data"
"""Small files of known content."""
