"""One of several extracting processes: `python -m vadprobe.flows.jobs.devices.worker JOB WORKSPACE DEVICE`.

It computes partitions of the job on its device and reports on standard output, a JSON object a line. The process that
started it plans before and commits afterwards (see `jobs.devices.processes`).
"""

import json
import signal
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from vadprobe.extract.pipeline.claim_loop import Listener, compute_pending
from vadprobe.extract.pipeline.stream import PartitionOutcome
from vadprobe.flows.jobs.extract_job import prepare, without_new_videos
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.errors import VadprobeError


def main(job_path: str, workspace: str, device: str) -> int:
    """Compute the pending partitions.

    Returns:
        The exit code: 0 done; 2 wrong input, with a sentence on standard error; 130 interrupted.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    reports = sys.stdout

    def report(**what: Any) -> None:
        reports.write(json.dumps(what) + "\n")
        reports.flush()

    def finished(outcome: PartitionOutcome) -> None:
        report(finished=outcome.key)

    try:
        with redirect_stdout(sys.stderr):  # libraries print
            job = load_job(Path(job_path), Path(workspace))
            extraction = job.config.extraction.model_copy(update={"device": device})
            job = replace(job, config=job.config.model_copy(update={"extraction": extraction}))
            extractor = prepare(without_new_videos(job))
            listener = Listener(
                tell=lambda text: report(tell=text),
                clip_done=lambda computed: report(clip=computed),
                finished=finished,
            )
            compute_pending(extractor, listener)
            report(timings=extractor.timings.sentence())
    except VadprobeError as error:
        sys.stderr.write(f"vadprobe: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
