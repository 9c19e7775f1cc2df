"""p(yes) of stored logits: of each row alone, for every prompt, or the reason why not."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.planted import BACKBONE, PROMPTS, SEGMENT, write_planted
from vadprobe.analyze.features.answers import NEVER_ASKED, answer_notes, answers_by_prompt, yes_probabilities
from vadprobe.flows.jobs.analyze_job import open_analysis
from vadprobe.flows.jobs.job import load_job
from vadprobe.store.format.specification import FeatureSpec
from vadprobe.store.format.stored_parts import StoredParts
from vadprobe.store.writing.writer import plan


def test_it_is_the_probability_of_yes_among_two_words(tmp_path: Path) -> None:
    planted = write_planted(tmp_path, failed_row=5)
    inputs = open_analysis(load_job(planted.job("hiprobe")))
    rows = np.array([9, 5, 0, 7])
    found = answers_by_prompt(inputs, rows)
    assert list(found) == list(PROMPTS)
    for prompt, answer in found.items():
        logits = inputs.open_segments(prompt).answer_logits(rows).astype(np.float64)
        odds = np.exp(logits)
        assert answer.probabilities == pytest.approx(odds[:, 0] / odds.sum(axis=1), abs=1e-12, nan_ok=True)
        assert np.flatnonzero(np.isnan(answer.probabilities)).tolist() == [1]
    alone = yes_probabilities(inputs.store, rows[2:3])
    assert alone[0] == found["coarse"].probabilities[2]


def test_a_prompt_without_answers_says_why(tmp_path: Path) -> None:
    planted = write_planted(tmp_path)
    job = load_job(planted.job("hiprobe"))
    spec, clips = open_analysis(job).store.spec, open_analysis(job).store.clips
    for prompt in ("detailed", "question"):
        store = job.layout.store(SEGMENT, BACKBONE.key, prompt)
        shutil.rmtree(store)
        shutil.rmtree(store.with_suffix(".records"))
    without = job.layout.store(SEGMENT, BACKBONE.key, "question")
    other = FeatureSpec(spec.dataset, spec.clips_digest, spec.n_clips, spec.sampling, spec.backbone, spec.prompt)
    plan(without, other, clips, StoredParts.of(BACKBONE, len(clips), answers=False))
    found = answers_by_prompt(open_analysis(job), np.arange(3))
    assert found["coarse"].probabilities is not None
    assert found["detailed"].probabilities is found["question"].probabilities is None
    assert "detailed.zarr" in found["detailed"].reason
    assert "answer_logits: it was extracted for a detector alone or with answers = false" in found["question"].reason
    assert str(tmp_path) not in found["detailed"].reason + found["question"].reason


def test_a_backbone_that_was_never_asked_is_told() -> None:
    plain = FeatureSpec("set", "0", 1, SEGMENT, BACKBONE, None, {})
    captioner = FeatureSpec("set", "0", 1, SEGMENT, BACKBONE, None, {"backbone_card": {"kind": "demo-captioner"}})
    assert NEVER_ASKED not in answer_notes(plain)
    assert NEVER_ASKED in answer_notes(captioner)
