"""Timings of an extraction lie beside its stores: runs add up, and nothing of them enters a store."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.extractions import PROMPTS, SEGMENTS, SHALLOW, WHOLE, make_extractor, run_all
from vadprobe.extract.model.backbone import Description
from vadprobe.store.errors import StoreError
from vadprobe.store.writing.timings import run_timings
from vadprobe.store.writing.timings.run_timings import read_timings

Describe = Callable[..., Description]


def test_two_runs_add_up_by_what_their_passes_computed(
    tmp_path: Path, video_folder: Path, describe_tiny: Describe
) -> None:
    samplings = [sampling.model_copy(update=SHALLOW) for sampling in (SEGMENTS, WHOLE)]
    for prompts in (PROMPTS[:1], PROMPTS):  # the second run finds the first prompt in place
        extractor = make_extractor(video_folder, tmp_path, describe_tiny("internvl"), prompts, samplings)
        run_all(extractor)
        run_all(make_extractor(video_folder, tmp_path, describe_tiny("internvl"), prompts, samplings))
    for sampling, count in zip(extractor.plan.samplings, (9, 3), strict=True):
        for prompt, writer in zip(PROMPTS, sampling.writers, strict=True):
            (found,) = read_timings(writer.path.parent, prompt.key, writer.spec.digest)
            (one,) = found.passes
            assert (one.prompts, one.blocks, one.clips) == ((prompt.key,), 1, count)
            assert (found.dtype, found.device.split()[0]) == ("float32", "CPU")
            assert one.seconds["model"] > 0
            assert found.shape is not None
            assert prompt.key in found.shape.own


def test_an_extraction_does_not_end_for_its_timings(
    tmp_path: Path,
    video_folder: Path,
    describe_tiny: Describe,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(run_timings, "write_json", refuse)
    sampling = SEGMENTS.model_copy(update=SHALLOW)
    extractor = make_extractor(video_folder, tmp_path, describe_tiny("internvl"), PROMPTS[:1], [sampling])
    assert run_all(extractor) == [{}]
    assert "The timings cannot be kept (the disk is full)" in caplog.text
