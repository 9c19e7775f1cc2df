"""Programs that take the place of decoder processes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest


def write_stand_in(folder: Path, body: str) -> str:
    """Write a Python program that takes the place of `sys.executable`; its last argument is a decoder's socket."""
    script = folder / "stand_in"
    script.write_text(f"#!{sys.executable}\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


def decoder_without_rights(folder: Path) -> str:
    """Write a program that takes the place of `sys.executable` for decoders, which may read what everybody may.

    Root may read every file: its decoder gives up its rights once it has loaded everything. Where root is mapped to a
    user who can become nobody else, as in some containers, the test is skipped.
    """
    become_nobody = "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    if os.geteuid():
        become_nobody = "import os"
    elif subprocess.run([sys.executable, "-c", become_nobody], capture_output=True, check=False).returncode:
        pytest.skip("root cannot give up its rights here")
    imports = "import sys\nfrom vadprobe.extract.video.decode_worker import serve"
    return write_stand_in(folder, f"{imports}\n{become_nobody}\nserve(int(sys.argv[-1]))")
