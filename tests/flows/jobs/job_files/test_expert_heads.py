"""The example of the public expert heads loads, keeps what it needs, and selects just those heads."""

from dataclasses import replace
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.planted import write_planted
from vadprobe.analyze.compute.cluster import open_scheduler
from vadprobe.analyze.compute.step_cache import StepCache
from vadprobe.analyze.detector.fitting import fit
from vadprobe.analyze.detector.selection_rules import choose
from vadprobe.analyze.experiments.cases import varied
from vadprobe.flows.jobs.experiments.context import case_of
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.format.specification import BackboneSpec
from vadprobe.store.format.stored_parts import StoredParts

HEADS = ((18, 4), (18, 13), (20, 4), (23, 24), (23, 27))
INTERNVL3 = BackboneSpec(
    "internvl3-8b", "internvl", "OpenGVLab/InternVL3-8B-hf", "sha256:0", "float32", "sdpa", 28, 28, 2, 4
)


def test_the_job_loads_and_its_stores_keep_the_heads_alone() -> None:
    job = load_job(ROOT / "configs" / "expert-heads.toml")
    assert (job.config.dataset.format, job.config.backbone.key) == ("xd-violence", "internvl3-8b")
    assert (job.analysis.rule, job.analysis.selection.heads) == ("heads", HEADS)
    assert (job.analysis.locator.sigmas, job.analysis.locator.threshold) == ((1.5,), 0.65)
    for sampling in job.config.sampling:
        assert (sampling.layers, sampling.heads, sampling.answers) == ((), HEADS, False)
        parts = StoredParts(layers=sampling.layers, heads=sampling.heads, answers=sampling.answers)
        assert parts.blocks_needed(INTERNVL3.n_layers, 0) == 24


def test_it_selects_these_heads_and_fits_on_nothing_else(tmp_path: Path) -> None:
    example = load_job(ROOT / "configs" / "expert-heads.toml").analysis
    made = write_planted(tmp_path, backbone=INTERNVL3)
    job = made.job("headhunt")
    job.write_text(job.read_text().replace('key = "tiny"', f'key = "{INTERNVL3.key}"'))
    case = case_of(load_job(job), None)
    config = varied(case.config, selection=example.selection.model_dump(), locator=example.locator.model_dump())
    inputs = case.inputs(config)
    assert set(inputs.calibration) == {"coarse"}
    only = StoredParts(layers=(), heads=HEADS, answers=False)
    with open_scheduler("synchronous", 0) as scheduler:
        fitted = fit(inputs, config, StepCache(None), scheduler)
        segments, calibration = (
            {key: replace(store, contents=only) for key, store in stores.items()}
            for stores in (inputs.segments, inputs.calibration)
        )
        kept = replace(inputs, segments=segments, calibration=calibration)
        choice = choose(kept, config, fitted.calibration, StepCache(None), scheduler)
    assert fitted.detector.selection.indices == choice.selection.indices == HEADS
    assert fitted.detector.probe.mean.shape == (len(HEADS) * INTERNVL3.head_dim,)
    assert fitted.saliency is None
