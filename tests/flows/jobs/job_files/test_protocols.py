"""The shipped protocols of both papers: every combination is a valid job with the settings that the papers print."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import SHARED
from vadprobe.flows.jobs.job import Job, checked_job
from vadprobe.flows.jobs.job_files.merging import compose, shipped_jobs

METHODS, DATASETS = ("hiprobe", "headhunt"), ("ucf-crime", "xd-violence")
BACKBONES = ("internvl2.5-8b", "internvl3-8b", "qwen2.5-vl-7b", "llava-onevision-7b", "holmes-vau-2b")
EVERY = list(product(METHODS, DATASETS, BACKBONES))
PRINTED: dict[str, dict[str, Any]] = {
    "hiprobe": {"clip_length": 24, "frames_per_clip": 8, "sigma": 0.4, "kappa": 0.2, "calibration_fraction": 0.01},
    "headhunt": {"clip_length": 48, "frames_per_clip": 16, "top_heads": 5, "lambda": 0.5, "prompts": 5, "sigma": 1.5}
    | {"threshold": 0.65, "calibration_fraction": 0.01},
}
"""Settings that the papers print."""


def protocol(*parts: str) -> Job:
    return checked_job(compose([f"papers/{part}" for part in parts], Path()))


def settings(job: Job) -> Iterator[tuple[str, Any]]:
    """Yield a job's settings by the names that the papers' have in `PRINTED`."""
    analysis = job.analysis
    (sigma,) = analysis.locator.sigmas
    yield from (("clip_length", job.samplings[0].clip_length), ("frames_per_clip", job.samplings[0].frames_per_clip))
    yield from (("sigma", sigma), ("kappa", analysis.locator.kappa), ("threshold", analysis.locator.threshold))
    yield from (("top_heads", analysis.top_heads), ("lambda", analysis.instability_weight))
    yield from (("prompts", len(job.prompts)), ("calibration_fraction", analysis.calibration.fraction))


@pytest.mark.parametrize(("method", "dataset", "backbone"), EVERY)
def test_a_protocol_has_the_settings_of_its_paper(method: str, dataset: str, backbone: str) -> None:
    job = protocol(method, dataset, backbone)
    found = dict(settings(job))
    assert {name: found[name] for name in PRINTED[method]} == PRINTED[method]
    assert job.analysis.method == job.analysis.preset == method
    assert job.analysis.locator.threshold == ("adaptive" if method == "hiprobe" else 0.65)
    assert [sampling.unit for sampling in job.samplings] == ["segment", "video"]
    assert job.samplings[1].frames_per_clip == job.samplings[0].frames_per_clip
    assert job.analysis.calibration.unit == "video"
    assert job.config.dataset.format == job.config.dataset.name == dataset
    assert job.config.dataset.validation is None  # the whole test split
    chat = "native" if backbone.startswith(("qwen", "llava")) else "internvl-chat"
    assert (job.config.backbone.chat, job.config.backbone.dtype) == (chat, "bfloat16")


@pytest.mark.parametrize(("method", "dataset", "backbone"), EVERY)
def test_the_second_variant_holds_videos_out_and_reads_the_same_features(
    method: str, dataset: str, backbone: str
) -> None:
    whole, held_out = (protocol(method, dataset, backbone, *more) for more in ((), ("held-out",)))
    assert held_out.analysis.locator.threshold == "grid"
    assert held_out.config.dataset.validation is not None
    assert held_out.stores == whole.stores
    assert held_out.out != whole.out


def test_no_two_protocols_share_results() -> None:
    jobs = [protocol(*parts, *more) for parts in EVERY for more in ((), ("held-out",))]
    assert len({job.out for job in jobs}) == len(jobs) == 40
    assert all(job.out.parent.name == "results" and "{" not in job.out.name for job in jobs)


def test_every_part_is_in_some_protocol() -> None:
    parts = {name.removeprefix("papers/") for name in shipped_jobs() if name.startswith("papers/")}
    assert parts == {*METHODS, *DATASETS, *BACKBONES, "base", "held-out"}


def test_the_settings_are_those_of_the_published_numbers() -> None:
    path = SHARED / "papers" / "published.json"
    if not path.exists():
        pytest.skip("the published numbers are not here")
    published = json.loads(path.read_text(encoding="utf-8"))["settings"]
    for method in METHODS:
        assert {name: published[method][name] for name in PRINTED[method]} == PRINTED[method]
    assert "1000 epochs" in published["hiprobe"]["optimizer"]
    assert protocol("hiprobe", *EVERY[0][1:]).analysis.probe.max_iterations == 1000
