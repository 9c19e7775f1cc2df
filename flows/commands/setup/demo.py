"""The demo: a generated world, a small backbone pre-trained on such drawings, and both methods on its features."""

import os
from functools import partial
from pathlib import Path

from vadprobe.analyze.experiments.tables import COMPARISONS, TABLES
from vadprobe.extract.demo.tiny_backbone import make_tiny_backbone
from vadprobe.flows.commands.detection.detect import detect
from vadprobe.flows.commands.experiments.tables import print_tables
from vadprobe.flows.jobs.analyze_job import analyze
from vadprobe.flows.jobs.demo.composition import MEANING, Demo, Stage
from vadprobe.flows.jobs.demo.ingredients import SECOND_SET, Size
from vadprobe.flows.jobs.extract_job import extract
from vadprobe.flows.jobs.job import Job, load_job

FOR_TABLES = ("sampling-rates", "second-backbone")
"""Jobs whose features only the tables need."""

_DRAWS, _FRACTION = 5, 0.75


def run_demo(
    folder: Path,
    seed: int,
    with_prefect: bool = True,
    with_tables: bool = False,
    backbone: Path | None = None,
    size: Size | None = None,
) -> int:
    """Make what is missing below `folder`, run both presets there, and compare them with all simpler scorers.

    A second run uses the videos, features and results of the first.

    Args:
        folder: folder of everything that is made.
        seed: seed of the videos.
        with_prefect: run the stages as flows on an embedded Prefect; False runs them plainly.
        with_tables: also make a second backbone and more sampling rates, and measure every table of both papers.
        backbone: checkpoint in place of the shipped one.
        size: size of the sets; None for the default.

    Returns:
        The exit code 0; every failure raises an error.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    run_extract, run_analyze = _with_prefect(folder) if with_prefect else _plain()
    demo = Demo(folder, seed, run_extract, run_analyze, partial(print, flush=True), size or Size(), backbone)
    demo.prepare()
    jobs = demo.results()
    captions = demo.texts(jobs[0])
    second = demo.second_set()
    print_tables([*jobs, second], list(COMPARISONS), 1, None, folder / "comparison")
    demo.page(jobs)
    print("\n".join(["", *captions, ""]), flush=True)
    _detect_unseen(demo, jobs[0])
    print(f"\n{MEANING}")
    if with_tables:
        make_tiny_backbone(folder / "backbones" / "tiny-internvl", "internvl", seed=seed)
        for name in FOR_TABLES:
            demo.run(name, run_extract)
        names = [name for name in TABLES if name not in COMPARISONS]
        others = demo.jobs(["second-backbone", "second-set"])
        print_tables([*jobs, *others], names, _DRAWS, _FRACTION, folder / "tables")
    return 0


def _detect_unseen(demo: Demo, job: Job) -> None:
    """Detect events in videos that nothing was fitted on, with a sentence about each."""
    videos, place = demo.unseen(), demo.folder / SECOND_SET / "videos"
    print(
        "[6/6] Events in videos of the second set, as 'vadprobe detect --explain' finds and describes them", flush=True
    )
    detect(
        *(str(place / video.path) for video in videos),
        detector=job.out / "detector.json",
        out=demo.folder / "detection",
        device="cpu",
        explain=True,
        overwrite=True,
    )
    print("\n".join(demo.truth_of(video) for video in videos))


def _plain() -> tuple[Stage, Stage]:
    """Return both stages as the plain commands run them."""

    def run_extract(path: str, workspace: str) -> str:
        return "\n".join(extract(load_job(Path(path), Path(workspace))).lines())

    def run_analyze(path: str, workspace: str) -> str:
        return str(analyze(load_job(Path(path), Path(workspace))).report)

    return run_extract, run_analyze


def _with_prefect(folder: Path) -> tuple[Stage, Stage]:
    """Return both stages as flows, on a Prefect server in this process with its database below `folder`."""
    os.environ.pop("PREFECT_API_URL", None)
    os.environ.update(
        PREFECT_HOME=str(folder / "prefect"),
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120",
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        DO_NOT_TRACK="1",
    )
    # Prefect reads its settings when it is imported, so only now.
    from vadprobe.flows.analyze_features import analyze_features
    from vadprobe.flows.extract_features import extract_features

    def run_extract(path: str, workspace: str) -> str:
        return str(extract_features(path, workspace))

    return run_extract, analyze_features
