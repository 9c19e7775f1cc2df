"""Owner of a claim on an object store, and whether that process still runs on this machine."""

import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """Owner of a claim. `machine` differs by host, boot and container; `started` reveals a reused process id."""

    host: str
    machine: str
    process: int
    started: int | None
    identifier: str
    lease: float

    @staticmethod
    def here(lease: float) -> "Owner":
        """Return this process as the owner of a new claim."""
        return Owner(
            socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()), uuid.uuid4().hex, float(lease)
        )

    @property
    def name(self) -> str:
        """Process and host, for messages."""
        return f"process {self.process} on {self.host}"

    def runs_here(self) -> bool:
        """Return whether the process is known to run on this machine; a suspended one counts as running."""
        return bool(self.machine) and self.machine == _machine() and not self.vanished()

    def vanished(self) -> bool:
        """Return whether the process is known to have ended; False if it runs on another machine."""
        if not self.machine or self.machine != _machine() or self.started is None:
            return False
        started = _started(self.process)
        return started != self.started and not (started is None and _runs(self.process))

    def content(self, beat: int) -> bytes:
        """Return the content of the claim at the `beat`-th heartbeat; always of the same length."""
        return (json.dumps({**asdict(self), "beat": f"{beat:012d}"}, sort_keys=True) + "\n").encode()

    @staticmethod
    def read(content: bytes) -> "Owner | None":
        """Return the owner that a claim names; None if it is no claim."""
        try:
            found = json.loads(content)
            del found["beat"]
            found["lease"] = float(found["lease"])
            return Owner(**found)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


@cache
def _machine() -> str:
    """Return a name of this machine since it was started, and of the processes it sees; empty if not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(process: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; -1 if it has ended, None if not known."""
    try:
        after_name = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return -1 if after_name[0] in (b"Z", b"X") else int(after_name[19])  # ended, but its parent has not asked yet


def _runs(process: int) -> bool:
    """Return whether a process with this id exists, even one that /proc hides from this user."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
