"""The command deploy."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vadprobe.flows.jobs.job import Job


def deploy(
    job: str,
    /,
    *,
    file: Path = Path("prefect.yaml"),
    name: str | None = None,
    gpu_pool: str = "gpu",
    cpu_pool: str = "cpu",
    jobs: str | None = None,
    notify: str | None = None,
    write_only: bool = False,
) -> int:
    """Write the deployments of a job as a prefect.yaml, and deploy them to the Prefect server of PREFECT_API_URL.

    The file names no path of this machine: workers run the flows of their own installation and find a job file below
    the folder that VADPROBE_JOBS names in their environment. Automations that a team needs are made once. Prefect's
    telemetry is off in this command and in the runs.

    Example: vadprobe deploy my-job.toml --file my-prefect.yaml

    Args:
        job: job file, or a shipped job by its name
        file: the file to write; one that this command has written is replaced
        name: name of the deployments, where a server has several jobs; by default that of each flow
        gpu_pool: work pool of stage 1
        cpu_pool: work pool of everything else
        jobs: folder on the workers' machines that stands for the current one, in place of their own VADPROBE_JOBS
        notify: notification block of the server, such as slack-webhook/team: it sends a message when a run fails, as a
            verification that finds damage does, or is lost
        write_only: write the file and do not deploy it
    """
    from vadprobe.flows.deployments import defaults  # noqa: F401 - before prefect is imported
    from vadprobe.flows.deployments.for_job import Choices, check_replaceable, deployments, write
    from vadprobe.flows.deployments.notifications import add_notification, block_id
    from vadprobe.flows.deployments.server import add_automations, check_server, deploy_file
    from vadprobe.flows.jobs.job import checked_job
    from vadprobe.flows.jobs.job_files.merging import compose
    from vadprobe.flows.runs.loading import JOBS_VARIABLE
    from vadprobe.store.errors import VadprobeError
    from vadprobe.store.files.location import is_remote
    from vadprobe.store.files.text import counted

    if notify is not None and write_only:
        raise VadprobeError("--notify needs the server, and --write-only leaves it alone; leave one of them out.")
    loaded = checked_job(compose((job,), Path()))
    config = _as_workers_find(job, loaded)
    choices = Choices(
        config,
        place=str(loaded.root) if is_remote(loaded.root) else None,
        is_analyzed=loaded.config.analysis is not None,
        pools={"gpu": gpu_pool, "cpu": cpu_pool},
        name=name,
        environment={JOBS_VARIABLE: jobs} if jobs else {},
    )
    check_replaceable(file)
    address = None if write_only else check_server([gpu_pool, cpu_pool])
    block = None if notify is None else block_id(notify)
    found = deployments(choices)
    write(file, found)
    print(f"{file}: {counted(len(found), 'deployment')} of {config}")
    if address is None:
        print(f"Deploy them with: prefect deploy --all --prefect-file {file}")
        return 0
    deploy_file(file)
    print(f"Deployed to {address}:")
    for one in found:
        flow = one["entrypoint"].rpartition(".")[2].replace("_", "-")
        print(f"  {flow}/{one['name']}, work pool {one['work_pool']['name']!r}")
    for made in add_automations():
        print(f"Automation made: {made}")
    if block is not None:
        print(f"Messages: {add_notification(block)} sends by {notify}")
    if config.endswith(".toml") and not Path(config).is_absolute():
        print(
            f"Workers look for {config} below {jobs or f'the folder that {JOBS_VARIABLE} names in their environment'}."
        )
    print(f"Run stage 1 with: prefect deployment run extract-features/{name or 'extract-features'} --watch")
    return 0


def _as_workers_find(word: str, job: "Job") -> str:
    """Return a job as a parameter of runs: a shipped one by its name, a file by its path below the current folder.

    A file outside the current folder keeps its whole path, which then must be the same on every machine.
    """
    if not word.endswith(".toml"):
        return word
    path = job.path.resolve()
    return (path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path).as_posix()
