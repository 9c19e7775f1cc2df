"""Findings about processors: CPU and memory, GPUs, and their use by torch."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from vadprobe.flows.commands.setup.diagnosis.finding import Finding
from vadprobe.flows.commands.setup.diagnosis.packages import has_package
from vadprobe.store.files.text import counted

_ASK_DRIVER = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
_GET_CUDA_BUILD = "install the CUDA build of torch that PyTorch's start page names for your driver"


def device_findings(gpus: list[str] | None = None) -> Iterator[Finding]:
    """Yield findings on the processors of this machine.

    Args:
        gpus: GPUs as the driver names them, one line each; by default the driver is asked.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("CPU", "good", f"{counted(usable, 'core')} for this process, {memory:.0f} GiB of memory")
    present = _gpus_of_driver() if gpus is None else gpus
    if not has_package("torch"):
        text = f"the driver finds {len(present)}: {'; '.join(present)}" if present else "the driver finds none"
        yield Finding("GPU", "note", f"{text}; torch is not installed, and stage 2 does not need it")
        return
    yield _torch_finding(present)


def _torch_finding(present: list[str]) -> Finding:
    import torch

    build = f"torch {torch.__version__}, " + (f"CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build")
    if torch.cuda.is_available():
        return _tried(build)
    if present and not torch.version.cuda:
        text = f"{build}, does not use what the driver finds: {'; '.join(present)}"
        return Finding("GPU", "problem", text, _GET_CUDA_BUILD)
    if present:
        text = f"{build}, cannot use the {counted(len(present), 'GPU')} of this machine: {_reason()}"
        return Finding("GPU", "problem", text, f"update the driver, or {_GET_CUDA_BUILD}")
    return Finding(
        "GPU", "note", f"none; {build}. Small models run on the CPU; for large ones use a machine with a GPU"
    )


def _tried(build: str) -> Finding:
    """Multiply matrices once on every GPU, because a driver may list a GPU and still fail on it."""
    import torch

    names = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        names.append(f"{torch.cuda.get_device_name(number)} ({free / 2**30:.0f} of {total / 2**30:.0f} GiB free)")
        try:
            ones = torch.ones(64, 64, device=f"cuda:{number}", dtype=torch.bfloat16)
            (ones @ ones).sum().item()
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            return Finding("GPU", "problem", f"{build}: cuda:{number} fails ({reason})", _GET_CUDA_BUILD)
    return Finding("GPU", "good", f"{build}: {'; '.join(names)}")


def _reason() -> str:
    import torch

    try:
        torch.zeros(1, device="cuda")
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0]
    return "torch gives no reason"


def _gpus_of_driver() -> list[str]:
    """Return the GPUs that the driver's own program lists; without the program, the driver's device files."""
    try:
        answer = subprocess.run(_ASK_DRIVER, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return [path.name for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]
    return [line.strip() for line in answer.splitlines() if line.strip()]
