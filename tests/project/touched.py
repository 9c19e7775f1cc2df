"""Print the test files that a change touches, for `make fast`.

A test file is touched if it changed, is named after a changed module, or names a changed module or file. Where many
only name one, those that import the fewest modules of the project come first, since they are about it; the others are
left to `make test`, and counted on standard error.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

EVERYTHING = {"tests/conftest.py", "tests/support/profiles.py", "pyproject.toml", "constraints.txt"}
PACKAGES = ("store", "extract", "analyze", "detect", "flows")


def changed_files(root: Path, base: str) -> list[str]:
    """List what differs from where HEAD left a commit's branch, files that git does not know yet included."""
    # In a hook of git, its variables name the repository that runs the hook.
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*words: str) -> list[str]:
        ended = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False, env=own)
        if ended.returncode:
            sys.exit(f"touched.py: git {' '.join(words)}: {ended.stderr.strip()}")
        return ended.stdout.splitlines()

    (common,) = git("merge-base", base, "HEAD")
    return sorted({*git("diff", "--name-only", common), *git("ls-files", "--others", "--exclude-standard")})


def mention(path: str) -> re.Pattern[str]:
    """Return the pattern by which a test names a file: as a module where it is one, else by its name."""
    file = PurePosixPath(path)
    if file.suffix != ".py":
        return re.compile(rf"\b{re.escape(file.name)}")
    if file.parts[0] == "benchmarks":
        return re.compile(rf"\b{file.stem}\b")
    package = ".".join(("vadprobe", *file.parts[:-1]) if file.parts[0] in PACKAGES else file.parts[:-1])
    if file.stem == "__init__":
        return re.compile(rf"\b{re.escape(package)}\b")
    imported = rf"from {re.escape(package)} import [^\n]*\b{file.stem}\b"
    return re.compile(rf"\b{re.escape(package)}\.{file.stem}\b|{imported}")


def touched(changes: Iterable[str], tests: Mapping[str, str], limit: int) -> tuple[list[str], int]:
    """Choose the tests, path to text, that changes touch; of those that only name a file, `limit`.

    Returns the paths, the closest first, and how many were left out.
    """
    changes = [path for path in changes if path not in EVERYTHING]
    modules = {PurePosixPath(path).stem for path in changes if path.endswith(".py")}
    own = [test for test in tests if test in changes or PurePosixPath(test).stem.removeprefix("test_") in modules]
    patterns = [mention(path) for path in changes]
    naming = [
        test for test, text in tests.items() if test not in own and any(pattern.search(text) for pattern in patterns)
    ]
    naming.sort(key=lambda test: (tests[test].count("from vadprobe."), test))
    return sorted(own) + naming[:limit], len(naming[limit:])


def main() -> None:
    """Print the paths, one a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="HEAD", help="the commit that the tree is compared with (HEAD)")
    parser.add_argument("--limit", type=int, default=6, help="how many tests that only name a changed file run (6)")
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parents[2]
    tests = {path.relative_to(root).as_posix(): path.read_text() for path in sorted(root.glob("tests/**/test_*.py"))}
    changes = changed_files(root, arguments.base)
    chosen, left = touched(changes, tests, arguments.limit)
    sys.stdout.writelines(f"{path}\n" for path in chosen)
    for path in EVERYTHING & set(changes):
        sys.stderr.write(f"{path} touches every test; 'make test' runs them.\n")
    if left:
        sys.stderr.write(f"{left} more test files name what changed; 'make test' runs them.\n")
    if not chosen:
        sys.stderr.write(f"Nothing that a test names differs from {arguments.base}.\n")


if __name__ == "__main__":
    main()
