"""Programs that take the place of decoder processes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest


def write_stand_in(folder: Path, body: str) -> str:
    """Write a Python program to replace `sys.executable`; its last argument is the descriptor of a decoder's socket."""
    script = folder / "stand_in"
    script.write_text(f"#!{sys.executable}\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


def decoder_without_rights(folder: Path) -> str:
    """Write a program to replace `sys.executable` for decoders, which may then read only what everybody may read.

    Root may read every file, so the decoder gives up root's rights once it has loaded its libraries. Where root cannot
    become another user, as in some containers, the test is skipped.
    """
    become_nobody = "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    if os.geteuid():
        become_nobody = "import os"
    elif subprocess.run([sys.executable, "-c", become_nobody], capture_output=True, check=False).returncode:
        pytest.skip("root cannot give up its rights here")
    imports = "import sys\nfrom vadprobe.extract.video.decode_worker import serve"
    return write_stand_in(folder, f"{imports}\n{become_nobody}\nserve(int(sys.argv[-1]))")
