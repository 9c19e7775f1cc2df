"""Paths of the project and of the files beside it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
"""Folder of real annotation files and videos; tests that need them are skipped where it is absent."""
GOLDEN = ROOT / "tests" / "data"
"""Folder of small files of known content."""
