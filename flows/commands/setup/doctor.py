"""The command doctor."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vadprobe.flows.commands.options import Place, print_json
from vadprobe.store.files.text import counted

if TYPE_CHECKING:
    from vadprobe.flows.commands.setup.diagnosis.finding import Finding


def doctor(*, job: Path | None = None, stores: Place | None = None, write: bool = False, json: bool = False) -> int:
    """Check this machine for vadprobe: packages, GPU and its torch build, decoders, Prefect, stores, disk.

    Each part is tried, not only looked up. For what does not work, the output says what to do. Nothing is left behind.
    Exit code 1 if something does not work, 0 otherwise; an extra that is not installed is a note.

    Example: vadprobe doctor --job my-job.toml

    Args:
        job: job file whose store root and workspace are tried
        stores: folder or URL of stores to try, in place of the job's
        write: try writing at a URL too: an object is put there, and deleted again
        json: print the findings as JSON
    """
    from vadprobe.flows.commands.setup.diagnosis.finding import lines

    root, workspace = stores, Path()
    if job is not None:
        from vadprobe.flows.jobs.job import load_job

        loaded = load_job(job)
        root, workspace = stores if stores is not None else loaded.root, loaded.workspace
    findings = list(_findings(root, workspace, write))
    if json:
        print_json([finding.to_json() for finding in findings])
    else:
        print("\n".join(lines(findings)))
        problems = sum(finding.state == "problem" for finding in findings)
        print(f"{counted(len(findings), 'check')}; {counted(problems, 'problem')}.")
    return int(any(finding.state == "problem" for finding in findings))


def _findings(root: "Place | None", workspace: Path, write: bool) -> "Iterator[Finding]":
    """Yield all findings, quick ones first."""
    from vadprobe.flows.commands.setup.diagnosis.decoders import decoder_findings
    from vadprobe.flows.commands.setup.diagnosis.devices import device_findings
    from vadprobe.flows.commands.setup.diagnosis.engines import engine_findings
    from vadprobe.flows.commands.setup.diagnosis.packages import package_findings
    from vadprobe.flows.commands.setup.diagnosis.places import disk_finding, place_findings

    yield from package_findings()
    yield from device_findings()
    yield from decoder_findings()
    yield from engine_findings()
    if root is not None:
        yield from place_findings(root, write=write)
    yield disk_finding("workspace", workspace)
